import { attribute, type Attributes } from '../ir/graph.js';
import { checkCount } from './dense.js';
import { LayerError } from './errors.js';
import { fanInUniform } from './initial.js';
import { fn, type Layer } from './layer.js';
import type { Value } from './value.js';

/** One number for both axes, or [vertical, horizontal]. */
export type Pair = number | readonly [number, number];

export interface Conv2dOptions {
  readonly stride?: Pair;
  readonly padding?: Pair;
  readonly dilation?: Pair;
  readonly groups?: number;
  /** Whether a bias is added; true where absent. */
  readonly bias?: boolean;
}

const pairOf = (value: Pair): [number, number] => (typeof value === 'number' ? [value, value] : [...value]);

/** A two-dimensional convolution: [batch, in, height, width] to [batch, channels, height', width']. */
export function conv2d(channels: number, kernel: Pair, options: Conv2dOptions = {}): Layer {
  const { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true } = options;
  const [kernels, strides, pads, dilations] = [kernel, stride, padding, dilation].map(pairOf) as [
    [number, number],
    [number, number],
    [number, number],
    [number, number],
  ];
  checkCount('conv2d', 'channels', channels);
  checkCount('conv2d', 'groups', groups);
  return {
    apply(x, scope) {
      const inputs = imageChannels('conv2d', x);
      if (inputs % groups !== 0 || channels % groups !== 0) {
        throw new LayerError(
          'conv2d',
          `${groups} groups do not divide ${inputs} input and ${channels} output channels`,
        );
      }
      const fanIn = (inputs / groups) * kernels[0] * kernels[1];
      const weight = scope.parameter('weight', [channels, inputs / groups, ...kernels], fanInUniform(fanIn));
      const offset = bias ? [scope.parameter('bias', [channels], fanInUniform(fanIn)).name] : [];
      const attributes = {
        ...windowAttributes(kernels, strides, pads),
        dilations: attribute.ints(dilations),
        group: attribute.int(groups),
      };
      const space = windowed('conv2d', x, kernels, strides, pads, dilations);
      return x.derive('Conv', [x.name, weight.name, ...offset], attributes, [
        x.shape[0]!,
        channels,
        ...space,
      ]);
    },
  };
}

export interface PoolOptions {
  /** The kernel's size where absent: windows do not overlap. */
  readonly stride?: Pair;
  readonly padding?: Pair;
}

/** The largest element of each window. */
export const maxPool2d = (kernel: Pair, options: PoolOptions = {}): Layer =>
  pool('MaxPool', 'maxPool2d', kernel, options);

/** The mean of each window; padding counts as zeros, as in PyTorch. */
export const avgPool2d = (kernel: Pair, options: PoolOptions = {}): Layer =>
  pool('AveragePool', 'avgPool2d', kernel, options);

/** The mean of each channel: [batch, channels, height, width] to [batch, channels]. */
export const globalAvgPool2d = (): Layer =>
  fn((x) => {
    const channels = imageChannels('globalAvgPool2d', x);
    const pooled = x.derive('GlobalAveragePool', [x.name], {}, [x.shape[0]!, channels, 1, 1]);
    return pooled.derive('Flatten', [pooled.name], { axis: attribute.int(1) }, [x.shape[0]!, channels]);
  });

function pool(operator: string, layer: string, kernel: Pair, options: PoolOptions): Layer {
  const kernels = pairOf(kernel);
  const strides = pairOf(options.stride ?? kernel);
  const pads = pairOf(options.padding ?? 0);
  return fn((x) => {
    const channels = imageChannels(layer, x);
    const space = windowed(layer, x, kernels, strides, pads, [1, 1]);
    const attributes: Attributes = {
      ...windowAttributes(kernels, strides, pads),
      ...(operator === 'AveragePool' ? { count_include_pad: attribute.int(1) } : {}),
    };
    return x.derive(operator, [x.name], attributes, [x.shape[0]!, channels, ...space]);
  });
}

function imageChannels(layer: string, x: Value): number {
  if (x.rank !== 4 || x.dtype !== 'float32') {
    throw new LayerError(
      layer,
      `needs a float32 [batch, channels, height, width]; it is given ${x.describe()}`,
    );
  }
  return x.lengthAt(1, layer);
}

function windowAttributes(
  kernels: readonly number[],
  strides: readonly number[],
  pads: readonly number[],
): Attributes {
  return {
    kernel_shape: attribute.ints(kernels),
    strides: attribute.ints(strides),
    pads: attribute.ints([...pads, ...pads]),
  };
}

/** Height and width of what windows make of x. @throws LayerError where no window fits */
function windowed(
  layer: string,
  x: Value,
  kernels: readonly number[],
  strides: readonly number[],
  pads: readonly number[],
  dilations: readonly number[],
): number[] {
  return kernels.map((kernel, i) => {
    for (const [what, value] of [
      ['kernel', kernel],
      ['stride', strides[i]!],
      ['dilation', dilations[i]!],
    ] as const) {
      checkCount(layer, what, value);
    }
    const length = x.lengthAt(i + 2, layer);
    const reach = (kernel - 1) * dilations[i]! + 1;
    const room = length + 2 * pads[i]! - reach;
    if (room < 0) {
      throw new LayerError(
        layer,
        `a window of ${reach} does not fit in ${x.describe()} with padding ${pads[i]!}`,
      );
    }
    return Math.floor(room / strides[i]!) + 1;
  });
}
