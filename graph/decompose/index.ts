import { NodeFormula } from '../formula/index.js';
import type { Node, TypedGraph } from '../ir/graph.js';
import { rewrite } from '../passes/rewrite.js';
import { attentions } from './attention.js';
import { sums } from './einsum.js';
import { elementwise } from './elementwise.js';
import { sampling } from './grid-sample.js';
import { loss } from './loss.js';
import { microsoft } from './microsoft.js';
import { movement } from './movement.js';
import { normalization } from './normalization.js';
import { pooling } from './pooling.js';
import { recurrent } from './recurrent.js';
import { reduction } from './reduction.js';
import { resizing } from './resize.js';
import type { DecompositionTable } from './table.js';

/** By domain; '' is ai.onnx. */
const tables: Readonly<Record<string, DecompositionTable>> = {
  '': {
    ...attentions,
    ...elementwise,
    ...loss,
    ...normalization,
    ...recurrent,
    ...movement,
    ...pooling,
    ...reduction,
    ...resizing,
    ...sampling,
    ...sums,
  },
  'com.microsoft': microsoft,
};

/** Whether a node is written out in smaller operators before a graph is differentiated or run. */
export function isDecomposed({ operator, domain }: Pick<Node, 'operator' | 'domain'>): boolean {
  return Object.hasOwn(tables[domain] ?? {}, operator);
}

/**
 * Writes every composite operator out in operators of ai.onnx that have gradient rules, as ONNX does with its
 * functions: one gradient rule less for each, and one kernel less for every engine.
 *
 * Guarantees: the result has no composite operator; inputs, parameters and the values of outputs are those of
 * `typed`. A decomposition may use composite operators itself. Linear in the number of nodes written.
 */
export function decompose(typed: TypedGraph): TypedGraph {
  let graph = typed;
  while (graph.nodes.some(isDecomposed)) {
    graph = rewrite(graph, [
      ({ node, f }) => tables[node.domain]?.[node.operator]?.(new NodeFormula(f.builder, node)),
    ]);
  }
  return graph;
}
