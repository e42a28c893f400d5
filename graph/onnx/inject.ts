import { clone, toBinary } from '@bufbuild/protobuf';
import { InvariantError } from '../../base/index.js';
import { bytesOf, formatType, sameShape, type Tensor } from '../ir/tensor.js';
import { ModelProtoSchema, NodeProtoSchema, type NodeProto } from './gen/onnx_pb.js';
import { NameSpace } from './names.js';
import type { Model } from './read.js';
import { readTensor, writeTensor } from './tensor.js';

/**
 * The submitted model with new values in its initializers: same names, inputs, outputs and opset, everything
 * that dtrain does not know kept, external data inside. Dropout's training mode is turned off, so that it
 * predicts.
 *
 * @param values by name; initializers that are not named keep theirs
 * @throws InvariantError where a value names no initializer or has another type
 */
export function withParameters(model: Model, values: ReadonlyMap<string, Tensor>): Uint8Array {
  const file = model.proto.graph;
  if (!file) throw new InvariantError('a model that was read has a graph');
  const waiting = new Set(values.keys());
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
  if (waiting.size > 0) throw new InvariantError(`the model has no initializer ${[...waiting].join(', ')}`);
  const taken = [
    ...file.initializer.map(({ name }) => name ?? ''),
    ...file.node.flatMap(({ input, output }) => [...input, ...output]),
  ];
  const off = new NameSpace([...taken, ...file.input.map(({ name }) => name ?? '')]).fresh('dropout_off');
  const node = file.node.map((each) => {
    if (!dropsOut(each)) return each;
    const quiet: NodeProto = clone(NodeProtoSchema, each);
    quiet.input[2] = off;
    return quiet;
  });
  if (file.node.some(dropsOut)) {
    initializer.push(writeTensor(off, { dtype: 'bool', shape: [], data: Uint8Array.of(0) }));
  }
  return toBinary(ModelProtoSchema, { ...model.proto, graph: { ...file, node, initializer } });
}

/** A Dropout that may be in training mode: its third input says so. */
function dropsOut(node: NodeProto): boolean {
  return node.opType === 'Dropout' && (node.domain ?? '') === '' && (node.input[2] ?? '') !== '';
}
