import { create, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import {
  ModelProtoSchema,
  type GraphProtoSchema,
  type NodeProtoSchema,
  type TensorProtoSchema,
} from '../../../graph/onnx/gen/onnx_pb.js';

export type NodeInit = MessageInitShape<typeof NodeProtoSchema>;
export type TensorInit = MessageInitShape<typeof TensorProtoSchema>;
export type GraphInit = MessageInitShape<typeof GraphProtoSchema>;

/** A declared value: `float32` unless another ONNX element type is named; text is a symbol. */
export function value(name: string, shape: readonly (number | string)[], elemType = 1): object {
  const dim = shape.map((length) =>
    typeof length === 'number'
      ? { value: { case: 'dimValue' as const, value: BigInt(length) } }
      : { value: { case: 'dimParam' as const, value: length } },
  );
  return { name, type: { tensorType: { elemType, shape: { dim } } } };
}

export function node(
  opType: string,
  input: string[],
  output: string[],
  attribute: NodeInit['attribute'] = [],
): NodeInit {
  return { opType, name: `${opType}:${output[0] ?? ''}`, input, output, attribute };
}

export const floats = (name: string, ...values: number[]): NonNullable<NodeInit['attribute']>[number] => ({
  name,
  type: 6,
  floats: values,
});
export const ints = (name: string, ...values: number[]): NonNullable<NodeInit['attribute']>[number] => ({
  name,
  type: 7,
  ints: values.map(BigInt),
});
export const int = (name: string, number: number): NonNullable<NodeInit['attribute']>[number] => ({
  name,
  type: 2,
  i: BigInt(number),
});
export const float = (name: string, number: number): NonNullable<NodeInit['attribute']>[number] => ({
  name,
  type: 1,
  f: number,
});

/** A float32 initializer. */
export function tensor(name: string, dims: readonly number[], values: readonly number[]): TensorInit {
  return { name, dims: dims.map(BigInt), dataType: 1, floatData: [...values] };
}

/** The bytes of a model file. */
export function file(graph: GraphInit, opset = 21, domain = ''): Uint8Array {
  const model = create(ModelProtoSchema, {
    irVersion: 8n,
    producerName: 'pytorch',
    opsetImport: [{ domain, version: BigInt(opset) }],
    graph: { name: 'g', ...graph },
  });
  return toBinary(ModelProtoSchema, model);
}
