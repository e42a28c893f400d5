import type { InputWish, TargetWish } from '../../data/index.js';
import { bindGraph, type Graph } from '../../graph/index.js';
import type { JobSpec } from '../job/spec.js';

/** What a model and its loss want of a data set: the coordinator checks it at submit, every rank opens with it. */
export interface DataWishes {
  readonly inputs: readonly InputWish[];
  readonly target: TargetWish;
}

/**
 * The inputs are the model's; the target is class ids for cross_entropy, else values of the first output's shape.
 * @throws BindingError, ShapeError when the model cannot be bound to a batch
 */
export function dataWishes(graph: Graph, loss: JobSpec['loss']): DataWishes {
  const inputs = graph.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape }));
  if (loss === 'cross_entropy') return { inputs, target: { kind: 'classes' } };
  // symbols other than the batch stay open: the data binds them
  const open = graph.inputs.some((input) => input.shape.slice(1).some((dim) => typeof dim === 'string'));
  if (open) return { inputs, target: { kind: 'values' } };
  const typed = bindGraph(graph, { batch: 2 });
  const output = typed.types.get(typed.outputs[0]!)!.shape;
  return { inputs, target: { kind: 'values', shape: ['batch', ...output.slice(1)] } };
}
