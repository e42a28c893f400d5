import t from 'tap';
import {
  attribute,
  GraphBuilder,
  int64s,
  ShapeError,
  standardOperators,
  tensorOf,
  type Attributes,
  type Tensor,
} from '../../../graph/index.js';

const { int, ints, string } = attribute;

interface Refused {
  readonly what: string;
  readonly operator: string;
  /** A shape is an input, a tensor a constant. */
  readonly inputs: readonly (readonly number[] | Tensor | undefined)[];
  readonly attributes?: Attributes;
  /** What the message says beside the node's name. */
  readonly says: RegExp;
}

const image = [1, 2, 4, 4];
const twice = tensorOf('float32', [4], [1, 1, 2, 2]);

const CASES: readonly Refused[] = [
  {
    what: 'an antialiasing Resize',
    operator: 'Resize',
    inputs: [image, undefined, twice],
    attributes: { antialias: int(1), mode: string('linear') },
    says: /antialias = 1; 0 would be accepted/,
  },
  {
    what: 'a cropping Resize',
    operator: 'Resize',
    inputs: [image, undefined, twice],
    attributes: { coordinate_transformation_mode: string('tf_crop_and_resize') },
    says: /"tf_crop_and_resize"; one of half_pixel, .* would be accepted/,
  },
  {
    what: 'a Resize to nothing',
    operator: 'Resize',
    inputs: [image],
    says: /neither scales nor sizes; it needs one/,
  },
  {
    what: 'a Resize with both',
    operator: 'Resize',
    inputs: [image, undefined, twice, int64s([1, 2, 8, 8])],
    says: /both scales and sizes; it needs one/,
  },
  {
    what: 'a Resize of too few axes',
    operator: 'Resize',
    inputs: [image, undefined, tensorOf('float32', [2], [2, 2])],
    says: /scales are \[2, 2\]; a positive number for each of 4 axes would be accepted/,
  },
  {
    what: 'a Resize to sizes that depend on data',
    operator: 'Resize',
    inputs: [image, undefined, undefined, [4]],
    says: /sizes \(input 3, "x3"\) depends on data/,
  },
  {
    what: 'an Einsum with a term too many',
    operator: 'Einsum',
    inputs: [[2, 3]],
    attributes: { equation: string('ij,jk->ik') },
    says: /has 2 terms; one for each of 1 inputs/,
  },
  {
    what: 'an Einsum whose term does not fit',
    operator: 'Einsum',
    inputs: [[2, 3]],
    attributes: { equation: string('ijk->ij') },
    says: /term "ijk" does not fit an input of shape \[2, 3\]/,
  },
  {
    what: 'an Einsum of different lengths',
    operator: 'Einsum',
    inputs: [
      [2, 3],
      [4, 2],
    ],
    attributes: { equation: string('ij,jk') },
    says: /label "j" stands for lengths of 3 and 4/,
  },
  {
    what: 'an Einsum along no diagonal',
    operator: 'Einsum',
    inputs: [[1, 3]],
    attributes: { equation: string('ii->i') },
    says: /label "i" stands for lengths of 1 and 3/,
  },
  {
    what: 'an Einsum with a stray output',
    operator: 'Einsum',
    inputs: [[2, 3]],
    attributes: { equation: string('ij->ik') },
    says: /has "k" twice or without an input/,
  },
  {
    what: 'an Einsum in signs',
    operator: 'Einsum',
    inputs: [[2, 3]],
    attributes: { equation: string('i*->i') },
    says: /has the term "i\*"; letters/,
  },
  {
    what: 'a NonZero of data',
    operator: 'NonZero',
    inputs: [[3]],
    says: /depends on data, .*\(a mask and Where/,
  },
  {
    what: 'a DepthToSpace that does not divide',
    operator: 'DepthToSpace',
    inputs: [[1, 6, 2, 2]],
    attributes: { blocksize: int(2) },
    says: /channels that 4 \(blocksize squared\) divides/,
  },
  {
    what: 'a DepthToSpace in an unknown order',
    operator: 'DepthToSpace',
    inputs: [[1, 4, 2, 2]],
    attributes: { blocksize: int(2), mode: string('RCD') },
    says: /mode is "RCD"; DCR or CRD would be accepted/,
  },
  {
    what: 'a SpaceToDepth that does not divide',
    operator: 'SpaceToDepth',
    inputs: [[1, 1, 3, 2]],
    attributes: { blocksize: int(2) },
    says: /a height and width that 2 \(blocksize\) divides/,
  },
  {
    what: 'a norm of no order',
    operator: 'LpPool',
    inputs: [image],
    attributes: { kernel_shape: ints([2, 2]), p: int(0) },
    says: /p is 0; an integer of at least 1/,
  },
  {
    what: 'a MaxUnpool to too few',
    operator: 'MaxUnpool',
    inputs: [image, tensorOf('int64', image, new Array<number>(32).fill(0)), int64s([1, 2, 7, 8])],
    attributes: { kernel_shape: ints([2, 2]), strides: ints([2, 2]) },
    says: /output_shape is \[1, 2, 7, 8\]; at least \[1, 2, 8, 8\] would be accepted/,
  },
  {
    what: 'a bicubic GridSample',
    operator: 'GridSample',
    inputs: [image, [1, 3, 3, 2]],
    attributes: { mode: string('cubic') },
    says: /mode is "cubic"; linear or nearest would be accepted/,
  },
  {
    what: 'a CumSum along two axes',
    operator: 'CumSum',
    inputs: [[2, 3], int64s([0, 1])],
    says: /axis is int64\[2\]; one integer would be accepted/,
  },
  {
    what: 'a ReverseSequence in space',
    operator: 'ReverseSequence',
    inputs: [[2, 3, 4], int64s([1, 1])],
    attributes: { batch_axis: int(0), time_axis: int(2) },
    says: /batch_axis is 0 and time_axis 2; 0 and 1 or 1 and 0/,
  },
];

for (const { what, operator, inputs, attributes, says } of CASES) {
  t.test(`${what} is refused by name`, (t) => {
    const builder = new GraphBuilder(standardOperators);
    const names = inputs.map((input, i) => {
      if (!input) return '';
      return 'data' in input
        ? builder.constant(input)
        : builder.input(`x${i}`, { dtype: i === 3 ? 'int64' : 'float32', shape: input });
    });
    try {
      builder.add(operator, names, attributes, { name: 'culprit' });
      t.fail('was taken');
    } catch (error) {
      t.ok(error instanceof ShapeError);
      t.match((error as Error).message, /node "culprit"/);
      t.match((error as Error).message, says);
    }
    t.end();
  });
}
