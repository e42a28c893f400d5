import {
  attribute,
  intAttribute,
  intsAttribute,
  normalizeAxis,
  sameShape,
  sizeOf,
  type Node,
  type Tensor,
} from '../../../../graph/index.js';
import { sortedAxes, type Formula } from '../../../../graph/formula/index.js';
import type { RewriteRule } from '../../../../graph/passes/index.js';
import {
  centredLayerNormalization,
  instanceNormalization,
  spatialBatchNormalization,
} from './normalizations.js';

/** x - max - log(sum(exp(x - max))). */
const logSoftmax: RewriteRule = ({ node, f }) => {
  const x = node.inputs[0]!;
  const axes = [normalizeAxis(intAttribute(node, 'axis', -1), f.rankOf(x))];
  const shifted = f.sub(x, f.reduce('ReduceMax', x, axes));
  return [f.sub(shifted, f.log(f.sum(f.exp(shifted), axes)))];
};

/** Each index compared with all classes: a selection. */
const oneHot: RewriteRule = ({ node, type, f }) => {
  const [indices, depthOperand, values] = node.inputs as [string, string, string];
  const depth = f.numberOf(depthOperand);
  if (depth === undefined) return undefined;
  const { dtype } = f.typeOf(indices);
  const axis = normalizeAxis(intAttribute(node, 'axis', -1), type.shape.length);
  // a negative index counts from the end
  const wrapped = f.where(f.less(indices, 0), f.add(indices, depth), indices);
  const alone = f.shapeOf(indices).toSpliced(axis, 0, 1);
  const classes = type.shape.map((_, at) => (at === axis ? depth : 1));
  const each = Array.from({ length: depth }, (_, i) => i);
  const hit = f.equal(f.reshape(wrapped, alone), f.constant(dtype, classes, each));
  const value = (at: number) => f.reshape(f.slice(values, [{ axis: 0, start: at, end: at + 1 }]), []);
  return [f.where(hit, value(1), value(0))];
};

const sum = (f: Formula, parts: readonly string[]) => parts.reduce((total, part) => f.add(total, part));

/** Ranges within the axis: WebGPU reads them in 32 bits and takes a start before the first element for another. */
const plainSlice: RewriteRule = ({ node, type, f }) => {
  const [x, ...ranges] = node.inputs as [string, ...string[]];
  const [starts, ends, axes, steps] = ranges.map((name) => (name === '' ? undefined : valuesOf(f, name)));
  if (!starts || !ends) return undefined;
  const shape = f.shapeOf(x);
  const cuts = starts.map((_, i) => {
    const axis = normalizeAxis(axes?.[i] ?? i, shape.length);
    const length = shape[axis]!;
    const step = steps?.[i] ?? 1;
    const within = (bound: number, least: number, most: number): number =>
      Math.max(least, Math.min(most, bound < 0 ? bound + length : bound));
    const [start, end] = [starts[i]!, ends[i]!];
    return step > 0
      ? { axis, step, start: within(start, 0, length), end: within(end, 0, length) }
      : { axis, step, start: within(start, 0, length - 1), end: within(end, -1, length - 1) };
  });
  // nor does it have a Slice of integers, and one backwards from within an axis starts elsewhere
  const picks = (cut: (typeof cuts)[number]) =>
    type.dtype === 'int32' || (cut.step < 0 && cut.start < shape[cut.axis]! - 1);
  const plain = cuts.every((cut, i) => !picks(cut) && cut.start === starts[i] && cut.end === ends[i]);
  if (plain) return undefined;
  const picked = cuts.filter(picks).reduce((value, { axis, start, step }) => {
    const rows = Array.from({ length: type.shape[axis]! }, (_, i) => start + i * step);
    return f.one('Gather', [value, f.int64s(rows)], { axis: attribute.int(axis) });
  }, x);
  const rest = cuts.filter((cut) => !picks(cut));
  return [f.slice(picked, rest)];
};

function valuesOf(f: Formula, name: string): number[] | undefined {
  const tensor: Tensor | undefined = f.builder.constantOf(name);
  return tensor && Array.from<number | bigint, number>(tensor.data, Number);
}

/** The order in which indices are counted means nothing where they are not asked for. */
const plainMaxPool: RewriteRule = ({ node, f }) => {
  if (intAttribute(node, 'storage_order', 0) === 0 || node.outputs[1]) return undefined;
  const attributes = { ...node.attributes, storage_order: attribute.int(0) };
  return [f.builder.add(node.operator, node.inputs, attributes, { name: node.name })[0]!];
};

/** A kernel may be given so many buffers at least, on any GPU: an operand and seven results. */
const MOST_PARTS = 7;

/** A split into many, in two or more levels. */
const deepSplit: RewriteRule = ({ node, f }) => {
  if (node.outputs.length <= MOST_PARTS) return undefined;
  const x = node.inputs[0]!;
  const axis = normalizeAxis(intAttribute(node, 'axis', 0), f.rankOf(x));
  const given = node.inputs[1] ? valuesOf(f, node.inputs[1]) : undefined;
  const length = f.shapeOf(x)[axis]!;
  const even = Math.ceil(length / node.outputs.length);
  const lengths = given ?? node.outputs.map((_, i) => Math.max(0, Math.min(even, length - i * even)));
  return splitDeep(f, x, lengths, axis);
};

function splitDeep(f: Formula, x: string, lengths: readonly number[], axis: number): string[] {
  if (lengths.length <= MOST_PARTS) return f.split(x, lengths, axis);
  const size = Math.ceil(lengths.length / MOST_PARTS);
  const groups = Array.from({ length: Math.ceil(lengths.length / size) }, (_, i) =>
    lengths.slice(i * size, (i + 1) * size),
  );
  const wholes = groups.map((group) => group.reduce((total, part) => total + part, 0));
  return f.split(x, wholes, axis).flatMap((part, i) => splitDeep(f, part, groups[i]!, axis));
}

/** Conditions are counted as integers: the library's And reads the wrong elements of operands that it broadcasts. */
const counted = (f: Formula, value: string) => f.cast(value, 'int32');

const broadcastAnd: RewriteRule = ({ node, f }) => {
  const [a, b] = node.inputs as [string, string];
  if (sameShape(f.shapeOf(a), f.shapeOf(b))) return undefined;
  return [f.cast(f.mul(counted(f, a), counted(f, b)), 'bool')];
};

/** Operands that are scalars or of one shape: of others, four of one beside one of the other do not compile. */
const plainPow: RewriteRule = ({ node, type, f }) => {
  const inputs = node.inputs.map((operand) => {
    const shape = f.shapeOf(operand);
    if (sameShape(shape, type.shape) || shape.length === 0) return operand;
    return sizeOf(shape) === 1 ? f.reshape(operand, []) : f.expandTo(operand, type.shape);
  });
  if (inputs.every((operand, i) => operand === node.inputs[i])) return undefined;
  return [f.reshape(f.one('Pow', inputs), type.shape)];
};

/** An addend without axes gets one: of more than eight rows the library ends the process. */
const plainGemm: RewriteRule = ({ node, f }) => {
  const [a, b, addend] = node.inputs as [string, string, string?];
  if (!addend || f.rankOf(addend) > 0) return undefined;
  return [f.one('Gemm', [a, b, f.reshape(addend, [1])], node.attributes)];
};

/** max + log(sum(exp(x - max))): the library leaves the maximum in, and has infinity from 89 on. */
const reduceLogSumExp: RewriteRule = ({ node, type, f }) => {
  const [x, operand] = node.inputs as [string, string?];
  const given = operand ? valuesOf(f, operand) : intsAttribute(node, 'axes');
  const unknown = operand !== undefined && operand !== '' && given === undefined;
  if (unknown || (!given?.length && intAttribute(node, 'noop_with_empty_axes', 0) === 1)) return undefined;
  const axes = sortedAxes(given, f.rankOf(x));
  // nothing is left of a difference of infinities
  const most = f.clip(f.reduce('ReduceMax', x, axes), -LARGEST, LARGEST);
  return [f.reshape(f.add(f.log(f.sum(f.exp(f.sub(x, most)), axes)), most), type.shape)];
};

/** The largest float32. */
const LARGEST = (2 - 2 ** -23) * 2 ** 127;

/** From the positive side: of -10000 nothing is left of x + sqrt(x^2 + 1), which drivers take the logarithm of. */
const oddAsinh: RewriteRule = ({ node, f }) => {
  const x = node.inputs[0]!;
  const positive = f.one('Asinh', [f.abs(x)]);
  return [f.where(f.less(x, 0), f.neg(positive), positive)];
};

/** What the WebGPU provider lacks, or does differently from the standard, in what it has and does well. */
const WEBGPU: Readonly<Record<string, RewriteRule>> = {
  And: broadcastAnd,
  Asinh: oddAsinh,
  BatchNormalization: spatialBatchNormalization,
  Gemm: plainGemm,
  InstanceNormalization: instanceNormalization,
  LayerNormalization: centredLayerNormalization,
  LogSoftmax: logSoftmax,
  MaxPool: plainMaxPool,
  Mean: ({ node, f }) => [f.div(sum(f, node.inputs), node.inputs.length)],
  OneHot: oneHot,
  Or: ({ node: { inputs }, f }) => [f.cast(f.add(counted(f, inputs[0]!), counted(f, inputs[1]!)), 'bool')],
  Pow: plainPow,
  ReduceLogSumExp: reduceLogSumExp,
  Sign: ({ node: { inputs }, type: { dtype }, f }) => {
    const x = inputs[0]!;
    return [f.sub(f.cast(f.greater(x, 0), dtype), f.cast(f.less(x, 0), dtype))];
  },
  Slice: plainSlice,
  Softsign: ({ node: { inputs }, f }) => [f.div(inputs[0]!, f.add(f.abs(inputs[0]!), 1))],
  Split: deepSplit,
  Sum: ({ node, f }) => [sum(f, node.inputs)],
  Xor: ({ node: { inputs }, f }) => {
    const [a, b] = inputs as [string, string];
    return [f.not(f.equal(counted(f, a), counted(f, b)))];
  },
};

/** Operators that are written out, whatever the provider has. */
export const writtenOut: readonly string[] = Object.keys(WEBGPU);

/** Whether a rule may write the node out. */
export const hasRule = (node: Node): boolean => node.domain === '' && Object.hasOwn(WEBGPU, node.operator);

/** Writes nodes in operators that the WebGPU provider has. */
export const writeOut: RewriteRule = (site) => {
  const { node, f } = site;
  if (!hasRule(node)) return undefined;
  return f.builder.within(node.name, () => WEBGPU[node.operator]!(site));
};
