import { floatAttribute, intAttribute, normalizeAxis, sizeOf, type Node } from '../../../../graph/index.js';
import { Body, CELL } from '../body.js';
import type { Kernel, KernelContext, KernelRule, KernelRules } from '../kernel.js';
import { broadcastStrides } from './elementwise.js';
import { literal } from './pointwise.js';
import { laneSums, type Lanes } from './rows.js';

function kernelOf(body: Body, result: string, output: string, size: number): Kernel {
  return { source: body.source(result), inputs: body.inputs, output, extents: [size], constants: {} };
}

/** 1 / sqrt(mean of squares + epsilon). */
function inverseRoot(node: Node, length: number): (sum: string) => string {
  const epsilon = literal(floatAttribute(node, 'epsilon', Math.fround(1e-5)));
  return (sum) => `1.0 / Math.sqrt(${sum} / ${length} + ${epsilon})`;
}

/** Groups of channels of each sample, normalized, then scaled and shifted by channel. */
function inGroups(node: Node, context: KernelContext, groups: number): readonly Kernel[] {
  const [x, scale, bias] = node.inputs as [string, string, string];
  const { shape } = context.typeOf(x);
  const size = sizeOf(shape);
  const [samples, channels] = [shape[0]!, shape[1]!];
  const length = size / (samples * groups);
  const lanes: Lanes = { outer: samples * groups, length, inner: 1 };
  const [mean, inverse] = [context.fresh('mean'), context.fresh('inverse')];
  const body = new Body(context.backend);
  const [lane] = body.divide(CELL, length, size);
  const channel = body.coordinates([samples, channels, size / (samples * channels)])[1]!;
  const normal = body.let(`(${body.load(x, CELL)} - ${body.load(mean, lane)}) * ${body.load(inverse, lane)}`);
  const result = `${normal} * ${body.load(scale, channel)} + ${body.load(bias, channel)}`;
  return [
    laneSums(lanes, context, { input: x, output: mean }, 'x', (sum) => `${sum} / ${length}`),
    laneSums(
      lanes,
      context,
      { input: x, beside: mean, output: inverse },
      '(x - y) * (x - y)',
      inverseRoot(node, length),
    ),
    kernelOf(body, result, node.outputs[0]!, size),
  ];
}

const instanceNormalization: KernelRule = (node, context) =>
  inGroups(node, context, context.typeOf(node.inputs[0]!).shape[1]!);

const groupNormalization: KernelRule = (node, context) =>
  inGroups(node, context, intAttribute(node, 'num_groups', 1));

/** Rows over their root mean square, scaled. */
const rmsNormalization: KernelRule = (node, context) => {
  const [x, scale] = node.inputs as [string, string];
  const { shape } = context.typeOf(x);
  const axis = normalizeAxis(intAttribute(node, 'axis', -1), shape.length);
  const length = sizeOf(shape.slice(axis));
  const lanes: Lanes = { outer: sizeOf(shape.slice(0, axis)), length, inner: 1 };
  const inverse = context.fresh('inverse');
  const body = new Body(context.backend);
  const [lane] = body.divide(CELL, length, sizeOf(shape));
  const along = body.place(shape, broadcastStrides(context.typeOf(scale).shape, shape));
  const result = `${body.load(x, CELL)} * ${body.load(inverse, lane)} * ${body.load(scale, along)}`;
  return [
    laneSums(lanes, context, { input: x, output: inverse }, 'x * x', inverseRoot(node, length)),
    kernelOf(body, result, node.outputs[0]!, sizeOf(shape)),
  ];
};

/** Training graphs have them written out; evaluation runs them as they are. */
export const groupNormalizationKernels: KernelRules = {
  GroupNormalization: groupNormalization,
  InstanceNormalization: instanceNormalization,
  RMSNormalization: rmsNormalization,
};
