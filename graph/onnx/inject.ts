import { toBinary } from '@bufbuild/protobuf';
import { InvariantError } from '../../base/index.js';
import { bytesOf, formatType, sameShape, type Tensor } from '../ir/tensor.js';
import { ModelProtoSchema, type NodeProto, type TensorProto } from './gen/onnx_pb.js';
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
  const changed = new Map<TensorProto, TensorProto>();
  for (const [name, value] of values) {
    const proto = model.initializers.get(name);
    if (!proto) continue;
    changed.set(proto, withValue(proto, name, value));
    waiting.delete(name);
  }
  const initializer = file.initializer.map((proto) => changed.get(proto) ?? proto);
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
  const graph = { ...file, node: forPrediction(withTensors(rest, changed), outputs), initializer };
  const functions = model.proto.functions.map((each) => ({
    ...each,
    node: forPrediction(withTensors(each.node, changed), each.output),
  }));
  return toBinary(ModelProtoSchema, { ...model.proto, graph, functions });
}

/** The tensor with other raw bytes instead of its typed fields; what the exporter noted beside them stays. */
function withValue(proto: TensorProto, name: string, value: Tensor): TensorProto {
  const known = readTensor(proto, { source: 'the model', value: name });
  if (known.dtype !== value.dtype || !sameShape(known.shape, value.shape)) {
    throw new InvariantError(
      `"${name}" is ${formatType(known)} in the model and ${formatType(value)} in the new values`,
    );
  }
  const typed = { floatData: [], int32Data: [], int64Data: [], doubleData: [], uint64Data: [] };
  return { ...proto, ...typed, rawData: bytesOf(value) };
}

/** The nodes with other initializers in their bodies. */
function withTensors(
  nodes: readonly NodeProto[],
  changed: ReadonlyMap<TensorProto, TensorProto>,
): readonly NodeProto[] {
  return nodes.map((node) => {
    if (node.attribute.every(({ g }) => g === undefined)) return node;
    const attribute = node.attribute.map((each) => {
      if (!each.g) return each;
      const initializer = each.g.initializer.map((proto) => changed.get(proto) ?? proto);
      return { ...each, g: { ...each.g, node: [...withTensors(each.g.node, changed)], initializer } };
    });
    return { ...node, attribute };
  });
}

/** Whether `withParameters` has a place for a value of that name. */
export function takesValue({ initializers, proto }: Model, name: string): boolean {
  if (initializers.has(name)) return true;
  return (proto.graph?.node ?? []).some((node) => givesConstant(node) && node.output[0] === name);
}

function givesConstant({ opType, output }: NodeProto): boolean {
  return (opType === 'Identity' || opType === 'Constant') && output.length === 1;
}
