import { closest } from '../../base/index.js';
import type { Graph } from '../ir/graph.js';
import { LossError } from '../loss/index.js';

/** Outputs that a message lists. */
const LISTED = 8;

/**
 * The model as a training sees it: of its outputs only the one that the loss compares, so that nothing is asked of
 * the way to the others.
 * @param name of an output; the first where absent
 * @throws LossError naming the outputs, where the model has none of that name
 */
export function setLossOutput(graph: Graph, name?: string): Graph {
  const output = name === undefined ? graph.outputs[0] : graph.outputs.find((each) => each.name === name);
  if (output) return { ...graph, outputs: [output] };
  const names = graph.outputs.map((each) => each.name);
  const near = closest(name ?? '', names, LISTED).map((each) => `"${each}"`);
  const more = names.length > LISTED ? ` and ${names.length - LISTED} more` : '';
  throw new LossError(
    `lossOutput: the model has no output "${name}"; it has ${near.join(', ')}${more}. Without this key the loss compares ` +
      `the first, "${names[0]}"`,
    { field: 'lossOutput', outputs: names },
  );
}
