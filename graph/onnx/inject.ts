import { toBinary } from '@bufbuild/protobuf';
import { InvariantError } from '../../base/index.js';
import { bytesOf, formatType, sameShape, type Tensor } from '../ir/tensor.js';
import { ModelProtoSchema, type NodeProto } from './gen/onnx_pb.js';
import { forPrediction } from './prediction.js';
import type { Model } from './read.js';
import { readTensor, writeTensor } from './tensor.js';

/**
 * The submitted model with new values in its initializers: same names, inputs, outputs and opset, everything
 * that dtrain does not know kept, external data inside. It is a model for prediction: the training mode of Dropout
 * and of BatchNormalization is turned off.
 *
 * @param values by name; initializers that are not named keep theirs. A name that an Identity or a Constant gives
 *   (exporters merge equal tensors so) becomes an initializer in its stead
 * @throws InvariantError where a value names none of these, or has another type
 */
export function withParameters(model: Model, values: ReadonlyMap<string, Tensor>): Uint8Array {
  const file = model.proto.graph;
  if (!file) throw new InvariantError('a model that was read has a graph');
  const waiting = new Map(values);
  const initializer = file.initializer.map((proto) => {
    const name = proto.name ?? '';
    const value = values.get(name);
    if (!value) return proto;
    waiting.delete(name);
    const known = readTensor(proto, { source: 'the model', value: name });
    if (known.dtype !== value.dtype || !sameShape(known.shape, value.shape)) {
      throw new InvariantError(
        `"${name}" is ${formatType(known)} in the model and ${formatType(value)} in the new values`,
      );
    }
    // Raw bytes instead of the typed fields; what the exporter noted beside them stays.
    const typed = { floatData: [], int32Data: [], int64Data: [], doubleData: [], uint64Data: [] };
    return { ...proto, ...typed, rawData: bytesOf(value) };
  });
  const replaced = file.node.filter((node) => givesConstant(node) && waiting.has(node.output[0] ?? ''));
  for (const { output } of replaced) {
    const name = output[0] ?? '';
    initializer.push(writeTensor(name, waiting.get(name)!));
    waiting.delete(name);
  }
  if (waiting.size > 0)
    throw new InvariantError(`the model has no initializer ${[...waiting.keys()].join(', ')}`);
  const rest = file.node.filter((node) => !replaced.includes(node));
  const outputs = file.output.map(({ name }) => name ?? '');
  const graph = { ...file, node: forPrediction(rest, outputs), initializer };
  const functions = model.proto.functions.map((each) => ({
    ...each,
    node: forPrediction(each.node, each.output),
  }));
  return toBinary(ModelProtoSchema, { ...model.proto, graph, functions });
}

function givesConstant({ opType, output }: NodeProto): boolean {
  return (opType === 'Identity' || opType === 'Constant') && output.length === 1;
}
