import t from 'tap';
import {
  bindGraph,
  evaluate,
  readModel,
  tensorOf,
  toReference,
  type Reference,
} from '../../../graph/index.js';
import { decompose } from '../../../graph/decompose/index.js';
import { runModel } from '../../property/graph/onnxruntime.js';
import {
  file,
  float,
  floats,
  int,
  ints,
  node,
  tensor,
  value,
  type NodeInit,
  type TensorInit,
} from './file.js';

interface Old {
  readonly operator: string;
  readonly opsets: readonly number[];
  readonly shape: readonly number[];
  readonly attributes?: NodeInit['attribute'];
  /** Initializers that the node takes after its data. */
  readonly operands?: readonly (TensorInit | undefined)[];
  /** Nodes that make further operands of it from the data. */
  readonly before?: readonly NodeInit[];
  readonly inputs?: readonly string[];
}

const text = (name: string, s: string): NonNullable<NodeInit['attribute']>[number] => ({
  name,
  type: 3,
  s: new TextEncoder().encode(s),
});
const longs = (name: string, ...values: number[]): TensorInit => ({
  name,
  dims: [BigInt(values.length)],
  dataType: 7,
  int64Data: values.map(BigInt),
});
const long = (name: string, number: number): TensorInit => ({
  name,
  dims: [],
  dataType: 7,
  int64Data: [BigInt(number)],
});
const scales = (...values: number[]): TensorInit => tensor('scales', [values.length], values);
const nothing = (name: string): TensorInit => ({ name, dims: [0n], dataType: 1 });

const image = [1, 2, 4, 6];
const pool = [ints('kernel_shape', 2, 3), ints('strides', 2, 2), ints('pads', 0, 1, 1, 1)];

/** Every form that an operator of these families had between opsets 7 and 21, and which onnxruntime still runs. */
const CASES: readonly Old[] = [
  ...[
    'ReduceL1',
    'ReduceL2',
    'ReduceLogSumExp',
    'ReduceMax',
    'ReduceMean',
    'ReduceMin',
    'ReduceProd',
    'ReduceSumSquare',
  ].map((operator): Old => ({
    operator,
    opsets: [7, 11, 13, 17],
    shape: [2, 3, 2],
    attributes: [ints('axes', 0, -1)],
  })),
  {
    operator: 'ReduceLogSum',
    opsets: [7, 17],
    shape: [2, 3],
    before: [node('Abs', ['x'], ['a'])],
    inputs: ['a'],
    attributes: [ints('axes', 1), int('keepdims', 0)],
  },
  { operator: 'ReduceSum', opsets: [7, 11], shape: [2, 3], attributes: [] },
  { operator: 'ReduceSum', opsets: [13, 18], shape: [2, 3], operands: [longs('axes', -1)] },
  { operator: 'ReduceProd', opsets: [18], shape: [2, 3], operands: [longs('axes', -1)] },

  { operator: 'TopK', opsets: [7, 9], shape: [2, 4], attributes: [int('k', 2), int('axis', 1)] },
  { operator: 'TopK', opsets: [10], shape: [2, 4], operands: [longs('k', 3)] },
  {
    operator: 'TopK',
    opsets: [11, 21],
    shape: [2, 4],
    operands: [longs('k', 3)],
    attributes: [int('largest', 0)],
  },
  {
    operator: 'CumSum',
    opsets: [11, 14],
    shape: [2, 4],
    operands: [long('axis', -1)],
    attributes: [int('reverse', 1)],
  },

  { operator: 'DepthToSpace', opsets: [7], shape: [1, 8, 2, 2], attributes: [int('blocksize', 2)] },
  {
    operator: 'DepthToSpace',
    opsets: [11, 13],
    shape: [1, 8, 2, 2],
    attributes: [int('blocksize', 2), text('mode', 'CRD')],
  },
  { operator: 'SpaceToDepth', opsets: [7, 13], shape: [1, 2, 4, 4], attributes: [int('blocksize', 2)] },

  {
    operator: 'Pad',
    opsets: [7],
    shape: [2, 4],
    attributes: [ints('pads', 0, 2, 1, 1), text('mode', 'reflect')],
  },
  {
    operator: 'Pad',
    opsets: [7],
    shape: [2, 4],
    attributes: [ints('pads', 0, -1, 1, 1), text('mode', 'edge')],
  },
  {
    operator: 'Pad',
    opsets: [11, 13],
    shape: [2, 4],
    operands: [longs('pads', 0, 2, 1, -1), { name: 'fill', dims: [], dataType: 1, floatData: [3] }],
  },
  {
    operator: 'Pad',
    opsets: [18],
    shape: [2, 4],
    operands: [longs('pads', 2, 1), undefined, longs('axes', -1)],
    attributes: [text('mode', 'edge')],
  },
  {
    operator: 'Pad',
    opsets: [19, 21],
    shape: [2, 4],
    operands: [longs('pads', 1, 1, 1, 2)],
    attributes: [text('mode', 'wrap')],
  },

  {
    operator: 'Slice',
    opsets: [7, 9],
    shape: [4, 5],
    attributes: [ints('starts', 1, -3), ints('ends', 3, 100)],
  },
  {
    operator: 'Slice',
    opsets: [10, 13],
    shape: [4, 5],
    operands: [longs('starts', -1), longs('ends', -100), longs('axes', 1), longs('steps', -2)],
  },
  {
    operator: 'Gather',
    opsets: [7, 11, 13],
    shape: [4, 5],
    operands: [longs('indices', 2, 0, 2)],
    attributes: [int('axis', 1)],
  },
  {
    operator: 'GatherElements',
    opsets: [11, 13],
    shape: [2, 2],
    operands: [{ name: 'indices', dims: [1n, 2n], dataType: 7, int64Data: [-1n, 0n] }],
  },
  {
    operator: 'GatherND',
    opsets: [11],
    shape: [2, 2],
    operands: [{ name: 'indices', dims: [2n, 1n], dataType: 7, int64Data: [1n, 0n] }],
  },
  {
    operator: 'GatherND',
    opsets: [12, 13],
    shape: [2, 3],
    operands: [{ name: 'indices', dims: [2n, 1n], dataType: 7, int64Data: [2n, 0n] }],
    attributes: [int('batch_dims', 1)],
  },
  {
    operator: 'Scatter',
    opsets: [9],
    shape: [3],
    operands: [longs('indices', 2, 0), tensor('updates', [2], [5, 6])],
  },
  {
    operator: 'ScatterElements',
    opsets: [11, 13],
    shape: [3],
    operands: [longs('indices', -1, 0), tensor('updates', [2], [5, 6])],
  },
  {
    operator: 'ScatterElements',
    opsets: [16],
    shape: [3],
    operands: [longs('indices', 1, 1), tensor('updates', [2], [5, 6])],
    attributes: [text('reduction', 'add')],
  },
  {
    operator: 'ScatterND',
    opsets: [11, 13],
    shape: [3],
    operands: [
      { name: 'indices', dims: [2n, 1n], dataType: 7, int64Data: [2n, 0n] },
      tensor('updates', [2], [5, 6]),
    ],
  },
  {
    operator: 'ScatterND',
    opsets: [16, 18],
    shape: [3],
    operands: [
      { name: 'indices', dims: [2n, 1n], dataType: 7, int64Data: [2n, 2n] },
      tensor('updates', [2], [5, 6]),
    ],
    attributes: [text('reduction', 'mul')],
  },
  ...['bilinear', 'nearest'].map((mode): Old => ({
    operator: 'GridSample',
    opsets: [16],
    shape: [1, 2, 3, 3],
    operands: [tensor('grid', [1, 1, 3, 2], [-1, -0.5, 0.3, 0.2, 1.1, 0.9])],
    attributes: [text('mode', mode), text('padding_mode', 'border'), int('align_corners', 1)],
  })),
  { operator: 'EyeLike', opsets: [9], shape: [2, 3], attributes: [int('k', 1)] },
  { operator: 'ReverseSequence', opsets: [10], shape: [3, 2], operands: [longs('lens', 3, 2)] },
  { operator: 'Einsum', opsets: [12], shape: [3, 3], attributes: [text('equation', 'ii->i')] },

  { operator: 'MaxPool', opsets: [7, 8], shape: image, attributes: pool },
  {
    operator: 'MaxPool',
    opsets: [10, 11, 12],
    shape: image,
    attributes: [...pool, int('ceil_mode', 1), ints('dilations', 1, 2)],
  },
  {
    operator: 'MaxPool',
    opsets: [8, 12],
    shape: image,
    attributes: [ints('kernel_shape', 2, 3), ints('strides', 1, 2), text('auto_pad', 'SAME_LOWER')],
  },
  { operator: 'AveragePool', opsets: [7], shape: image, attributes: [...pool, int('count_include_pad', 1)] },
  ...[0, 1].map((included): Old => ({
    operator: 'AveragePool',
    opsets: [10, 11, 19],
    shape: [1, 2, 5, 6],
    attributes: [...pool, int('ceil_mode', 1), int('count_include_pad', included)],
  })),
  {
    operator: 'AveragePool',
    opsets: [19],
    shape: image,
    attributes: [ints('kernel_shape', 2, 2), ints('dilations', 1, 2)],
  },
  { operator: 'LpPool', opsets: [7, 11], shape: image, attributes: [...pool, int('p', 3)] },
  {
    operator: 'LpPool',
    opsets: [18],
    shape: image,
    attributes: [...pool, int('p', 1), int('ceil_mode', 1), ints('dilations', 1, 2)],
  },
  { operator: 'GlobalLpPool', opsets: [7], shape: image, attributes: [int('p', 2)] },
  {
    operator: 'ConvTranspose',
    opsets: [7, 11],
    shape: [1, 2, 3, 3],
    operands: [tensor('w', [2, 1, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8])],
    attributes: [ints('strides', 2, 2), ints('output_shape', 7, 6)],
  },
  {
    operator: 'ConvTranspose',
    opsets: [7, 11],
    shape: [1, 2, 3, 3],
    operands: [
      tensor(
        'w',
        [2, 1, 3, 3],
        Array.from({ length: 18 }, (_, i) => i - 9),
      ),
    ],
    attributes: [ints('strides', 2, 2), text('auto_pad', 'SAME_UPPER')],
  },

  { operator: 'Upsample', opsets: [7], shape: image, attributes: [floats('scales', 1, 1, 2, 3)] },
  {
    operator: 'Upsample',
    opsets: [7],
    shape: image,
    attributes: [floats('scales', 1, 1, 2, 3), text('mode', 'linear')],
  },
  ...['nearest', 'linear'].map((mode): Old => ({
    operator: 'Upsample',
    opsets: [9],
    shape: image,
    operands: [scales(1, 1, 2, 1.5)],
    attributes: [text('mode', mode)],
  })),
  ...['nearest', 'linear'].map((mode): Old => ({
    operator: 'Resize',
    opsets: [10],
    shape: image,
    operands: [scales(1, 1, 2, 1.5)],
    attributes: [text('mode', mode)],
  })),
  {
    operator: 'Resize',
    opsets: [11],
    shape: image,
    operands: [nothing('roi'), scales(1, 1, 0.5, 2)],
    attributes: [
      text('mode', 'nearest'),
      text('coordinate_transformation_mode', 'tf_half_pixel_for_nn'),
      text('nearest_mode', 'floor'),
    ],
  },
  {
    operator: 'Resize',
    opsets: [11, 13],
    shape: image,
    operands: [nothing('roi'), nothing('scales'), longs('sizes', 1, 2, 3, 9)],
    attributes: [text('mode', 'linear'), text('coordinate_transformation_mode', 'align_corners')],
  },
  {
    operator: 'Resize',
    opsets: [11, 13],
    shape: image,
    operands: [nothing('roi'), scales(1, 1, 1.5, 2)],
    attributes: [text('mode', 'cubic'), float('cubic_coeff_a', -0.5)],
  },
  {
    operator: 'Resize',
    opsets: [13, 18],
    shape: image,
    operands: [undefined, undefined, longs('sizes', 1, 2, 7, 3)],
    attributes: [text('mode', 'linear'), text('coordinate_transformation_mode', 'pytorch_half_pixel')],
  },
  {
    operator: 'Resize',
    opsets: [18],
    shape: image,
    operands: [undefined, undefined, longs('sizes', 7, 7)],
    attributes: [ints('axes', 2, 3), text('keep_aspect_ratio_policy', 'not_larger'), text('mode', 'nearest')],
  },
  {
    operator: 'Resize',
    opsets: [19, 21],
    shape: image,
    operands: [undefined, scales(2.4, 0.7)],
    attributes: [
      ints('axes', 2, 3),
      text('mode', 'linear'),
      text('coordinate_transformation_mode', 'half_pixel_symmetric'),
    ],
  },
];

const size = (shape: readonly number[]) => shape.reduce((product, dim) => product * dim, 1);

for (const [
  i,
  { operator, opsets, shape, attributes = [], operands = [], before = [], inputs = ['x'] },
] of CASES.entries()) {
  for (const opset of opsets) {
    t.test(`${operator} of opset ${opset} (form ${i}) means what onnxruntime makes of it`, async (t) => {
      const names = operands.map((operand) => operand?.name ?? '');
      const outputs = operator === 'TopK' ? ['y', 'places'] : ['y'];
      const bytes = file(
        {
          node: [...before, node(operator, [...inputs, ...names], outputs, [...attributes])],
          input: [value('x', shape)],
          output: [{ name: 'y' }],
          initializer: operands.filter((operand) => operand !== undefined),
        },
        opset,
      );
      const x = tensorOf(
        'float32',
        shape,
        Float32Array.from({ length: size(shape) }, (_, at) => ((at * 7) % 11) - 4.75 + at / 8),
      );
      const { graph } = readModel(bytes);
      const known = new Map<string, Reference>([
        ['x', toReference(x)],
        ...[...graph.parameters].map(([name, parameter]) => [name, toReference(parameter)] as const),
      ]);
      const theirs = (await runModel(bytes, new Map([['x', x]]))).get('y')!;
      const bound = bindGraph(graph);
      for (const typed of [bound, decompose(bound)]) {
        const ours = evaluate(typed, known).get(typed.outputs[0]!)!;
        t.same(ours.shape, theirs.shape);
        const worst = Math.max(
          ...ours.data.map(
            (number, at) => Math.abs(number - theirs.data[at]!) / Math.max(1, Math.abs(number)),
          ),
        );
        t.ok(worst < 1e-5, `differs by ${worst}`);
      }
    });
  }
}
