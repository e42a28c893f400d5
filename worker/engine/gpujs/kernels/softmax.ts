import { intAttribute, normalizeAxis, sizeOf, type Node } from '../../../../graph/index.js';
import type { KernelContext, KernelRule, KernelRules } from '../kernel.js';
import { laneMaxima, laneSums, perElement, type Lanes } from './rows.js';

function lanesOf(node: Node, context: KernelContext): Lanes {
  const { shape } = context.typeOf(node.inputs[0]!);
  const axis = normalizeAxis(intAttribute(node, 'axis', -1), shape.length);
  return {
    outer: sizeOf(shape.slice(0, axis)),
    length: shape[axis]!,
    inner: sizeOf(shape.slice(axis + 1)),
  };
}

/** Powers are made once, by a launch of their own: in WebAssembly each is a call. */
const softmax: KernelRule = (node, context) => {
  const lanes = lanesOf(node, context);
  const [input, output] = [node.inputs[0]!, node.outputs[0]!];
  const [largest, powers, sums] = ['largest', 'powers', 'sums'].map((hint) => context.fresh(hint)) as [
    string,
    string,
    string,
  ];
  return [
    laneMaxima(lanes, context, input, largest),
    perElement(lanes, { inputs: [input, largest], output: powers }, (lane) => `Math.exp(x - b[${lane}])`),
    laneSums(lanes, context, { input: powers, output: sums }, 'x', (sum) => sum),
    perElement(lanes, { inputs: [powers, sums], output }, (lane) => `x / b[${lane}]`),
  ];
};

const logSoftmax: KernelRule = (node, context) => {
  const lanes = lanesOf(node, context);
  const [input, output] = [node.inputs[0]!, node.outputs[0]!];
  const [largest, logarithms] = ['largest', 'logarithms'].map((hint) => context.fresh(hint)) as [
    string,
    string,
  ];
  const beside = { input, beside: largest, output: logarithms };
  return [
    laneMaxima(lanes, context, input, largest),
    laneSums(lanes, context, beside, 'Math.exp(x - y)', (sum) => `Math.log(${sum})`),
    perElement(
      lanes,
      { inputs: [input, largest, logarithms], output },
      (lane) => `(x - b[${lane}]) - c[${lane}]`,
    ),
  ];
};

export const softmaxKernels: KernelRules = { Softmax: softmax, LogSoftmax: logSoftmax };
