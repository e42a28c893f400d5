import type { Tensor } from '../ir/tensor.js';
import { modelError, type Place } from './fail.js';
import type { GraphProto, TensorProto } from './gen/onnx_pb.js';
import { checkText } from './text.js';
import { readTensor } from './tensor.js';

/** A tensor that the file holds by name, and where, so that new values can be written back. */
export interface Initializer {
  readonly tensor: Tensor;
  readonly proto: TensorProto;
}

/**
 * The initializers of a graph or a body, by their names in the file.
 * @throws ModelError for a name twice or missing, a sparse tensor, bytes that do not fit the shape
 */
export function readInitializers(file: GraphProto, place: Place): Map<string, Initializer> {
  if (file.sparseInitializer.length > 0) {
    const names = file.sparseInitializer.map(({ values }) => `"${values?.name ?? ''}"`);
    throw modelError(
      place,
      `has sparse initializers (${names.slice(0, 5).join(', ')}); dense ones would be accepted`,
    );
  }
  const initializers = new Map<string, Initializer>();
  for (const proto of file.initializer) {
    const name = checkText(proto.name ?? '', 'an initializer', place);
    if (name === '' || initializers.has(name)) {
      throw modelError({ ...place, value: name }, `the initializer "${name}" is given twice, or has no name`);
    }
    initializers.set(name, { tensor: readTensor(proto, { ...place, value: name }), proto });
  }
  return initializers;
}
