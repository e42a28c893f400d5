import type { Node, TypedGraph } from '../ir/graph.js';

/**
 * Values that nodes compute of constants alone: whatever binding found too large to compute ahead, which may depend
 * on the number of samples (a mask that is repeated for each). Stages compute them for themselves, so that what
 * crosses a boundary is the same for every number of samples.
 */
export function valuesFromConstants(bound: TypedGraph): ReadonlySet<string> {
  const values = new Set<string>();
  for (const node of bound.nodes) {
    // a Dropout draws anew each time
    if (node.operator === 'Dropout') continue;
    if (!node.inputs.every((input) => input === '' || bound.constants.has(input) || values.has(input)))
      continue;
    for (const output of node.outputs) if (output !== '') values.add(output);
  }
  return values;
}

/** @param values of `valuesFromConstants` */
export function isFromConstants(node: Node, values: ReadonlySet<string>): boolean {
  return node.outputs.some((output) => values.has(output));
}
