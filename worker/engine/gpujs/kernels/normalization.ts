import { floatAttribute, intAttribute, normalizeAxis, sizeOf } from '../../../../graph/index.js';
import { UnsupportedFormError } from '../errors.js';
import type { KernelRule, KernelRules } from '../kernel.js';
import { broadcastStrides } from './elementwise.js';
import { startOf } from './factor.js';
import { float } from './product-forms.js';
import { laneSums, perElement, type Lanes } from './rows.js';

/** Mean, then the deviation from it, then the elements: sums of squares do not cancel. */
const layerNormalization: KernelRule = (node, context) => {
  const [x, scale, bias = ''] = node.inputs as [string, string, string?];
  const { shape } = context.typeOf(x);
  const axis = normalizeAxis(intAttribute(node, 'axis', -1), shape.length);
  const lanes: Lanes = { outer: sizeOf(shape.slice(0, axis)), length: sizeOf(shape.slice(axis)), inner: 1 };
  const mean = node.outputs[1] || context.fresh('mean');
  const inverse = node.outputs[2] || context.fresh('inverse');
  const share = float(1 / lanes.length);
  const epsilon = float(floatAttribute(node, 'epsilon', 1e-5));
  const before: string[] = [];
  // where an element of scale or bias lies: along the lane, or anywhere that broadcasts
  const placeOf = (name: string, prefix: string, place: string): string => {
    const strides = broadcastStrides(context.typeOf(name).shape, shape);
    const along = strides.slice(0, axis).every((stride, i) => stride === 0 || shape[i] === 1);
    if (along && sizeOf(context.typeOf(name).shape) === lanes.length) return place;
    const found = startOf(
      context.backend,
      prefix,
      `(this.thread.y * ${lanes.length} + this.thread.x)`,
      shape,
      strides,
    );
    before.push(found.before);
    return found.start;
  };
  const scaleAt = placeOf(scale, 'p', 'this.thread.x');
  const biasAt = bias === '' ? '' : placeOf(bias, 'q', 'this.thread.x');
  return [
    laneSums(lanes, context, { input: x, output: mean }, 'x', (sum) => `${sum} * ${share}`),
    laneSums(
      lanes,
      context,
      { input: x, beside: mean, output: inverse },
      '(x - y) * (x - y)',
      (sum) => `1.0 / Math.sqrt(${sum} * ${share} + ${epsilon})`,
    ),
    perElement(
      lanes,
      { inputs: [x, mean, inverse, scale, ...(bias === '' ? [] : [bias])], output: node.outputs[0]! },
      (lane) => `(x - b[${lane}]) * c[${lane}] * d[${scaleAt}]${bias === '' ? '' : ` + e[${biasAt}]`}`,
      before.join(' '),
    ),
  ];
};

/** With the statistics that it is given; of a batch it is lowered before. */
const batchNormalization: KernelRule = (node, context) => {
  if (intAttribute(node, 'training_mode', 0) === 1) {
    throw new UnsupportedFormError(
      'training_mode 1 is written out in smaller operators before it comes here',
    );
  }
  const { shape } = context.typeOf(node.inputs[0]!);
  const lanes: Lanes = { outer: shape[0]!, length: shape[1] ?? 1, inner: sizeOf(shape.slice(2)) };
  const epsilon = float(floatAttribute(node, 'epsilon', 1e-5));
  return [
    perElement(
      lanes,
      { inputs: node.inputs, output: node.outputs[0]! },
      (_, channel) =>
        `(x - d[${channel}]) / Math.sqrt(e[${channel}] + ${epsilon}) * b[${channel}] + c[${channel}]`,
    ),
  ];
};

export const normalizationKernels: KernelRules = {
  LayerNormalization: layerNormalization,
  BatchNormalization: batchNormalization,
};
