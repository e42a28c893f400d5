import { InvariantError } from '../../base/index.js';
import { detached, type Graph, type Tensor } from '../../graph/index.js';
import type { Bucket } from '../../scheduler/index.js';

/** The values of a parameter. */
export function float32Of(name: string, tensors: ReadonlyMap<string, Tensor>): Float32Array {
  const data = tensors.get(name)?.data;
  if (!(data instanceof Float32Array)) throw new InvariantError(`parameter "${name}" is not float32`);
  return data;
}

/** What the engine reads of parameters that are not trained: one buffer for each bucket. */
export function fixedBuffers(
  fixed: readonly Bucket[],
  parameters: ReadonlyMap<string, Tensor>,
): readonly ArrayBuffer[] {
  return fixed.map(({ length, places }) => {
    const values = new Float32Array(length);
    for (const { name, offset } of places) values.set(float32Of(name, parameters), offset);
    return values.buffer;
  });
}

/** A graph whose parameters in `buckets` have lost their values: a rank's memory has them. */
export function withoutValues(graph: Graph, buckets: readonly Bucket[]): Graph {
  const held = new Set(buckets.flatMap(({ places }) => places.map(({ name }) => name)));
  return detached(graph, (name) => !held.has(name));
}
