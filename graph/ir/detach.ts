import type { Graph } from './graph.js';
import { emptyData, type Tensor } from './tensor.js';

/** A copy of a tensor that shares no memory with it. */
export function copyTensor({ dtype, shape, data }: Tensor): Tensor {
  return { dtype, shape, data: data.slice() };
}

/**
 * A graph that holds on to nothing of what it was read from: values of constants and of the parameters that `keeps` says are
 * copies, all other parameters have their types alone. Whoever keeps a part of a model frees the rest with it.
 */
export function detached(graph: Graph, keeps: (parameter: string) => boolean): Graph {
  const parameters = [...graph.parameters].map(([name, tensor]) => {
    const { dtype, shape } = tensor;
    return [name, keeps(name) ? copyTensor(tensor) : { dtype, shape, data: emptyData(dtype, 0) }] as const;
  });
  return {
    ...graph,
    parameters: new Map(parameters),
    constants: new Map([...graph.constants].map(([name, tensor]) => [name, copyTensor(tensor)])),
  };
}
