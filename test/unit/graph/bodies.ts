import { create } from '@bufbuild/protobuf';
import { GraphProtoSchema } from '../../../graph/onnx/gen/onnx_pb.js';
import { file, int, ints, node, tensor, value, type GraphInit, type NodeInit } from './file.js';

type AttributeInit = NonNullable<NodeInit['attribute']>[number];

export const INT64 = 7;
export const BOOL = 9;

export function body(name: string, graph: GraphInit): AttributeInit {
  return { name, type: 5, g: create(GraphProtoSchema, { name: `${name} graph`, ...graph }) };
}
/** A value of any shape. */
export const any = (name: string): object => ({ name, type: { tensorType: { elemType: 1 } } });
export const int64 = (name: string, dims: number[], ...values: number[]) => ({
  name,
  dims: dims.map(BigInt),
  dataType: INT64,
  int64Data: values.map(BigInt),
});
export const bool = (name: string, truth: boolean) => ({
  name,
  dims: [],
  dataType: BOOL,
  int32Data: [truth ? 1 : 0],
});

export const model = (graph: GraphInit, opset = 17): Uint8Array =>
  file({ input: [value('x', ['b', 't', 4])], output: [any('y')], ...graph }, opset);

/** A recurrent cell as a Loop of the shape that tf2onnx gives to while loops: the length as condition, slices by Gather. */
export const recurrentLoop = (
  more: { readonly trips?: boolean; readonly inner?: boolean } = {},
): Uint8Array =>
  model({
    node: [
      node('Shape', ['x'], ['shape']),
      node('Gather', ['shape', 'one'], ['length'], [int('axis', 0)]),
      node('Less', ['zero', 'length'], ['starts']),
      node('Transpose', ['x'], ['time'], [ints('perm', 1, 0, 2)]),
      node('Slice', ['shape', 'begin', 'end'], ['rows']),
      node('Concat', ['rows', 'units'], ['state_shape'], [int('axis', 0)]),
      node('ConstantOfShape', ['state_shape'], ['h0']),
      node(
        'Loop',
        [more.trips ? 'length' : 'many', 'starts', 'zero', 'h0'],
        ['steps', 'h', 'all'],
        [
          body('body', {
            input: [value('i', [], INT64), value('go', [], BOOL), value('step', [], INT64), any('state')],
            node: [
              node('Gather', ['time', 'step'], ['xt'], [int('axis', 0)]),
              node('MatMul', ['xt', 'kernel'], ['a']),
              node('MatMul', ['state', more.inner ? 'inner' : 'recurrent'], ['c']),
              node('Add', ['a', 'c'], ['sum']),
              node('Tanh', ['sum'], ['next']),
              node('Add', ['step', 'one'], ['next_step']),
              node('Less', ['next_step', 'length'], ['goes']),
            ],
            output: [value('goes', [], BOOL), value('next_step', [], INT64), any('next'), any('next')],
            initializer: more.inner ? [tensor('inner', [2, 2], [0.5, -0.25, 0.75, 1])] : [],
          }),
        ],
      ),
      node('Transpose', ['all'], ['sequence'], [ints('perm', 1, 0, 2)]),
      node('ReduceSum', ['sequence', 'axis1'], ['total'], [int('keepdims', 0)]),
      node('Add', ['total', 'h'], ['y']),
    ],
    initializer: [
      int64('one', [], 1),
      int64('zero', [], 0),
      int64('many', [], 2 ** 40),
      int64('begin', [1], 0),
      int64('end', [1], 1),
      int64('units', [1], 2),
      int64('axis1', [1], 1),
      tensor('kernel', [4, 2], [0.1, -0.2, 0.3, 0.4, -0.5, 0.6, 0.7, -0.8]),
      ...(more.inner ? [] : [tensor('recurrent', [2, 2], [0.5, -0.25, 0.75, 1])]),
    ],
  });
