import {
  customOf,
  fromReference,
  sizeOf,
  toReference,
  type Node,
  type Tensor,
  type TypedGraph,
} from '../../../graph/index.js';
import { standardOperators, type Reference } from '../../../graph/operators/index.js';
import { emptyData } from '../../../graph/index.js';

/** More elements than this are computed on the device each time rather than uploaded. */
const FOLDED_ELEMENTS = 2 ** 18;

/** Every value that follows from constants and shapes alone, and the nodes that are left. */
export interface Folded {
  readonly nodes: readonly Node[];
  readonly constants: ReadonlyMap<string, Tensor>;
}

/**
 * Computes at compile time what depends on constants and shapes only. A value without elements is a constant too: so
 * no node that is left reads nothing but empty values.
 */
export function foldConstants(graph: TypedGraph): Folded {
  const constants = new Map<string, Tensor>(graph.constants);
  const typeOf = (name: string) => graph.types.get(name)!;
  for (const name of graph.types.keys()) {
    const { dtype, shape } = typeOf(name);
    if (sizeOf(shape) === 0 && !constants.has(name))
      constants.set(name, { dtype, shape, data: emptyData(dtype, 0) });
  }
  const references = new Map<string, Reference>();
  const referenceOf = (name: string): Reference => {
    let found = references.get(name);
    if (!found) references.set(name, (found = toReference(constants.get(name)!)));
    return found;
  };
  const nodes = graph.nodes.filter((node) => {
    const outputs = node.outputs.filter((name) => name !== '');
    if (outputs.every((name) => constants.has(name))) return false;
    const inputs = node.inputs.filter((name) => name !== '');
    const known = byShape(node) || inputs.every((name) => constants.has(name));
    const definition = standardOperators.find(node);
    const elements = outputs.reduce((sum, name) => sum + sizeOf(typeOf(name).shape), 0);
    // a user's kernel takes as long as its author pleases
    if (!known || !definition || elements > FOLDED_ELEMENTS || customOf(node)) return true;
    const given = node.inputs.map((name) => {
      if (name === '') return undefined;
      // of what only its shape is asked, the elements are not there
      return constants.has(name) ? referenceOf(name) : { ...typeOf(name), data: new Float64Array(0) };
    });
    const types = node.outputs.map(
      (name) => graph.types.get(name) ?? { dtype: 'float32' as const, shape: [] },
    );
    definition.evaluate(node, given, types).forEach((value, k) => {
      const name = node.outputs[k] ?? '';
      if (name === '') return;
      references.set(name, value);
      constants.set(name, fromReference(value));
    });
    return false;
  });
  return { nodes, constants };
}

function byShape({ operator, domain }: Node): boolean {
  return domain === '' && (operator === 'Shape' || operator === 'Size');
}
