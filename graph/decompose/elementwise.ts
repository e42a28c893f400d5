import { floatAttribute } from '../ir/graph.js';
import type { NodeFormula } from '../formula/index.js';
import type { DecompositionTable } from './table.js';

function hardSigmoid(d: NodeFormula, alpha: number, beta: number): string {
  return d.clip(d.add(d.mul(d.x, alpha), beta), 0, 1);
}

/** Functions of one tensor in simpler ones. */
export const elementwise: DecompositionTable = {
  HardSigmoid: (d) => [
    hardSigmoid(d, floatAttribute(d.node, 'alpha', Math.fround(0.2)), floatAttribute(d.node, 'beta', 0.5)),
  ],
  HardSwish: (d) => [d.mul(d.x, hardSigmoid(d, 1 / 6, 0.5))],
};
