import { toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from './gen/onnx_pb.js';
import type { Model } from './read.js';

/**
 * The model as one ONNX file: all that was read, known to dtrain or not, with external data inside, and the definitions of
 * users' operators in its metadata.
 */
export function onePiece(model: Model): Uint8Array {
  return toBinary(ModelProtoSchema, model.proto);
}
