import type { Formula } from '../../formula/index.js';
import type { Attributes } from '../../ir/graph.js';
import { chooseInputForm, inputGradientForms, isConvolution } from './convolution-inputs.js';
import { chooseWeightForm, weightGradientForms } from './convolution-weights.js';
import { windowOf } from './window.js';

/** One way to write a gradient of a convolution. */
export interface ConvolutionForm {
  readonly gradient: 'input' | 'weight';
  readonly name: string;
  /** Whether the rule takes it for these shapes. */
  readonly chosen: boolean;
  readonly write: (f: Formula, x: string, weight: string, dy: string) => string;
}

/**
 * Every form that applies to a convolution's gradients, for measuring.
 * @param x, weight shapes
 * @param output spatial lengths
 */
export function convolutionForms(
  attributes: Attributes,
  x: readonly number[],
  weight: readonly number[],
  output: readonly number[],
): ConvolutionForm[] {
  const node = { name: 'conv', operator: 'Conv', domain: '', inputs: [], outputs: [], attributes };
  const window = windowOf(node, weight.slice(2), x.slice(2), output);
  const groups = x[1]! / weight[1]!;
  const isDepthwise = weight[1] === 1 && weight[0] === groups;
  const inputs = Object.entries(inputGradientForms)
    .filter(([name]) => name !== 'convolution' || isConvolution(window))
    .map(([name, write]): ConvolutionForm => ({
      gradient: 'input',
      name,
      chosen: name === chooseInputForm(weight, window, groups),
      write: (f, _, w, dy) => write(f, { gradient: dy, weight: w }, window, groups),
    }));
  const weights = Object.entries(weightGradientForms)
    .filter(([name]) => name !== 'depthwise' || isDepthwise)
    .map(([name, write]): ConvolutionForm => ({
      gradient: 'weight',
      name,
      chosen: name === chooseWeightForm(weight, window, groups),
      write: (f, input, _, gradient) => write(f, { input, gradient, weight }, window, groups),
    }));
  return [...inputs, ...weights];
}
