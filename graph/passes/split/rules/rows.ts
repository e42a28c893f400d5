import { intAttribute, type Node } from '../../../ir/graph.js';
import { normalizeAxis, sizeOf, type TensorType } from '../../../ir/tensor.js';
import type { Box } from '../box.js';
import { elementBytes } from '../pieces.js';
import type { Atom, SplitRule, SplitRules } from '../rule.js';
import { sameNode } from './elementwise.js';

type TypeOf = (value: string) => TensorType;

/** Of a value what is on the given axes, for one place of the others. */
function atomOf(value: string, typeOf: TypeOf, keep: readonly number[]): Atom {
  return { value, shape: typeOf(value).shape.map((dim, axis) => (keep.includes(axis) ? dim : 1)) };
}

/** An element of the result depends on all elements along some axes: those stay whole. */
function alongAxes(axesOf: (node: Node, rank: number) => readonly number[]): SplitRule {
  return {
    write(node, pieces, [type]) {
      const [x, ...others] = node.inputs as [string, ...string[]];
      const keep = axesOf(node, type!.shape.length);
      const rest = others.map((other) => pieces.whole(other));
      const write = (box: Box) => sameNode(pieces, node, [pieces.read(x, box), ...rest]);
      const hints = new Map(type!.shape.map((_, axis) => [axis, pieces.cutsOf(x, axis)]));
      return [pieces.made(node.outputs[0]!, type!, write, { keep, hints })];
    },
    atoms(node, typeOf) {
      const [x] = node.inputs as [string];
      const keep = axesOf(node, typeOf(x).shape.length);
      return [x, node.outputs[0]!].map((value) => atomOf(value, typeOf, keep));
    },
  };
}

const oneAxis = alongAxes((node, rank) => [normalizeAxis(intAttribute(node, 'axis', -1), rank)]);
const lastTwo = alongAxes((_, rank) => [rank - 2, rank - 1]);

function normalizedAxes(node: Node, rank: number): readonly number[] {
  const first = normalizeAxis(intAttribute(node, 'axis', -1), rank);
  return Array.from({ length: rank - first }, (_, i) => first + i);
}

/** A normalization of the last axes, with the mean and the reciprocal deviation of each row where they are asked for. */
const normalization: SplitRule = {
  write(node, pieces, types) {
    const [x, ...others] = node.inputs as [string, ...string[]];
    const { shape } = types[0]!;
    const keep = normalizedAxes(node, shape.length);
    const rest = others.map((other) => pieces.whole(other));
    const statistics: string[][] = [];
    const write = (box: Box): string => {
      const inputs = [pieces.read(x, box), ...rest];
      const options = { domain: node.domain, outputs: node.outputs.length };
      const [y, ...others] = pieces.builder.add(node.operator, inputs, node.attributes, options);
      statistics.push(others);
      return y!;
    };
    const hints = new Map(shape.map((_, axis) => [axis, pieces.cutsOf(x, axis)]));
    const y = pieces.made(node.outputs[0]!, types[0]!, write, { keep, hints });
    const ofRows = types.slice(1).map((type, i) => ({
      type,
      pieces: y.pieces.map(({ box }, at) => ({
        name: statistics[at]![i]!,
        box: {
          start: box.start,
          shape: box.shape.map((length, axis) => (keep.includes(axis) ? 1 : length)),
        },
      })),
    }));
    return [y, ...ofRows];
  },
  atoms(node, typeOf) {
    const [x, ...others] = node.inputs as [string, ...string[]];
    const keep = normalizedAxes(node, typeOf(x).shape.length);
    return [
      ...[x, node.outputs[0]!].map((value) => atomOf(value, typeOf, keep)),
      ...others.filter((value) => value !== '').map((value) => ({ value, shape: typeOf(value).shape })),
    ];
  },
};

/** Each sample by itself: everything but the first axis stays whole, and what is no sample is read as it is. */
const samples: SplitRule = {
  takes: (node) => node.outputs.length === 1,
  write(node, pieces, [type]) {
    const [x, ...others] = node.inputs as [string, ...string[]];
    const rest = others.map((other) => pieces.whole(other));
    const rows = (shape: readonly number[]) => shape.slice(1);
    const [mine, theirs] = [sizeOf(rows(type!.shape)), sizeOf(rows(pieces.shapeOf(x)))];
    // as many samples as the larger of both sides has room for
    const room = pieces.limitBytes / elementBytes(type!.dtype);
    const count = Math.floor(room / Math.max(mine, theirs, 1));
    if (count === 0) {
      const [large, { dtype, shape }] = mine > theirs ? [node.outputs[0]!, type!] : [x, pieces.typeOf(x)];
      throw pieces.refusal(large, { dtype, shape: [1, ...rows(shape)] });
    }
    const write = ({ start, shape }: Box): string => {
      const from = pieces.shapeOf(x);
      const box = {
        start: from.map((_, axis) => (axis === 0 ? start[0]! : 0)),
        shape: [shape[0]!, ...rows(from)],
      };
      return sameNode(pieces, node, [pieces.read(x, box), ...rest]);
    };
    const keep = type!.shape.map((_, axis) => axis).slice(1);
    const hints = new Map([[0, pieces.cutsOf(x, 0)]]);
    return [pieces.made(node.outputs[0]!, type!, write, { keep, hints, most: count * mine })];
  },
  atoms(node, typeOf) {
    const [x, ...others] = node.inputs as [string, ...string[]];
    const sample = (value: string) => ({ value, shape: [1, ...typeOf(value).shape.slice(1)] });
    return [
      ...[x, node.outputs[0]!].map(sample),
      ...others.filter((value) => value !== '').map((value) => ({ value, shape: typeOf(value).shape })),
    ];
  },
};

const SAMPLES = [
  ...['AveragePool', 'BatchNormalization', 'Conv', 'ConvTranspose', 'DepthToSpace', 'GlobalAveragePool'],
  ...[
    'GlobalMaxPool',
    'GroupNormalization',
    'InstanceNormalization',
    'LRN',
    'LpPool',
    'MaxPool',
    'SpaceToDepth',
  ],
];

export const ROWS: SplitRules = {
  Hardmax: oneAxis,
  LayerNormalization: normalization,
  LogSoftmax: oneAxis,
  LpNormalization: oneAxis,
  RMSNormalization: normalization,
  SimplifiedLayerNormalization: normalization,
  Softmax: oneAxis,
  Trilu: lastTwo,
  ...Object.fromEntries(SAMPLES.map((operator) => [operator, samples])),
};
