import type { Node } from '../ir/graph.js';
import type { Tensor } from '../ir/tensor.js';
import { fromReference } from '../reference/value.js';
import { modelError, type Place } from './fail.js';

/**
 * The tensor of a Constant node, whichever of its attributes holds it.
 * @throws ModelError unless there is exactly one, of numbers
 */
export function constantOf(node: Node, at: Place): Tensor {
  const [entry, ...more] = Object.entries(node.attributes);
  const value = entry?.[1];
  if (!value || more.length > 0)
    throw modelError(at, `node "${node.name}" (Constant) must have exactly one value`);
  switch (value.kind) {
    case 'tensor':
      return value.value;
    case 'float':
      return { dtype: 'float32', shape: [], data: Float32Array.of(value.value) };
    case 'floats':
      return { dtype: 'float32', shape: [value.value.length], data: Float32Array.from(value.value) };
    case 'int':
      return fromReference({ dtype: 'int64', shape: [], data: Float64Array.of(value.value) });
    case 'ints':
      return fromReference({
        dtype: 'int64',
        shape: [value.value.length],
        data: Float64Array.from(value.value),
      });
    case 'string':
    case 'strings':
      throw modelError(at, `node "${node.name}" (Constant) holds text; a numeric value would be accepted`);
    case 'body':
    case 'custom':
      throw modelError(at, `node "${node.name}" (Constant) holds a graph; a numeric value would be accepted`);
  }
}
