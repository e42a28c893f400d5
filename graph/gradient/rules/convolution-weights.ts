import { sizeOf } from '../../ir/tensor.js';
import type { Formula } from '../../formula/index.js';
import { unfold, type Window } from './window.js';

/** The two sides of a convolution whose weights are differentiated. */
export interface Sides {
  /** What the windows move over: [N, g * c, ...space]. */
  readonly input: string;
  /** One value for each window and output channel: [N, g * m, ...window.output]. */
  readonly gradient: string;
  /** The weights' shape: [g * m, c, ...kernel]. */
  readonly weight: readonly number[];
}

/** A way to write the gradient; the result has the weights' shape. */
type WeightGradientForm = (f: Formula, sides: Sides, window: Window, groups: number) => string;

/** Products with fewer columns than this leave most of a vector kernel idle: positions of the kernel are joined. */
const FEW_COLUMNS = 16;
const ENOUGH_COLUMNS = 32;

/**
 * For every position of the kernel, a product for each sample of dY [m, P] with what the windows see there [c, P],
 * summed over the samples. Nothing is transposed but the small results.
 */
const perSample: WeightGradientForm = (f, sides, window, groups) => {
  const { batch, inputs, outputs, places } = extentsOf(f, sides, window, groups);
  const dy = f.reshape(sides.gradient, [batch * groups, outputs, places]);
  const seen = unfold(f, sides.input, window).map((part) =>
    f.reshape(part, [batch * groups, inputs, places]),
  );
  const products = chunksOf(seen, inputs).map((chunk) => {
    const product = f.matmul(dy, f.transposeLast(f.concat(chunk, 1)));
    const rows = groups * outputs * chunk.length * inputs;
    return f.reshape(f.sum(f.reshape(product, [batch, rows]), [0], false), [
      groups * outputs,
      chunk.length,
      inputs,
    ]);
  });
  return assemble(f, products, sides.weight);
};

/**
 * For every position of the kernel, one product over all samples, whose axes are brought to [g, c, N, P] first:
 * for large weights, of which a copy for every sample would cost more than moving the data.
 */
const overBatch: WeightGradientForm = (f, sides, window, groups) => {
  const { batch, inputs, outputs, places } = extentsOf(f, sides, window, groups);
  const channelsFirst = (value: string, channels: number, space: readonly number[]) => {
    const apart = f.reshape(value, [batch, groups * channels, sizeOf(space)]);
    return f.reshape(f.transpose(apart, [1, 0, 2]), [groups * channels, batch, ...space]);
  };
  const dy = f.reshape(channelsFirst(sides.gradient, outputs, window.output), [
    groups,
    outputs,
    batch * places,
  ]);
  const seen = unfold(f, channelsFirst(sides.input, inputs, window.input), window).map((part) =>
    f.reshape(part, [groups, inputs, batch * places]),
  );
  const products = chunksOf(seen, inputs).map((chunk) => {
    const columns = f.concat(chunk, 1);
    const width = chunk.length * inputs;
    const product =
      groups === 1
        ? f.gemm(f.reshape(dy, [outputs, batch * places]), f.reshape(columns, [width, batch * places]), {
            transB: true,
          })
        : f.matmul(dy, f.transposeLast(columns));
    return f.reshape(product, [groups * outputs, chunk.length, inputs]);
  });
  return assemble(f, products, sides.weight);
};

/** Each channel by itself (depthwise): there is no product of matrices to make, only sums. */
const depthwise: WeightGradientForm = (f, sides, window, groups) => {
  const { batch, places } = extentsOf(f, sides, window, groups);
  const sums = unfold(f, sides.input, window).map((part) => {
    const weighted = f.reshape(f.mul(part, sides.gradient), [batch, groups, places]);
    // two reductions, each over one axis of a matrix-like shape: engines have no fast path for both at once
    return f.reshape(f.sum(f.sum(weighted, [2], false), [0], false), [groups, 1, 1]);
  });
  return assemble(f, sums, sides.weight);
};

/** The forms by name; all give the same. */
export const weightGradientForms = { perSample, overBatch, depthwise } as const;

/** The form measured fastest for a class of shapes: see bench/convolution-gradients.ts. */
export function chooseWeightForm(
  weight: readonly number[],
  window: Window,
  groups: number,
): keyof typeof weightGradientForms {
  const [inputs, outputs] = [weight[1]!, weight[0]! / groups];
  if (inputs === 1 && outputs === 1) return 'depthwise';
  const copied = sizeOf(window.kernel) * inputs * outputs;
  const moved = (inputs + outputs) * sizeOf(window.output);
  return copied < 2 * moved ? 'perSample' : 'overBatch';
}

/**
 * The gradient of a convolution's weights. No form holds more of the unfolded input than the positions of one
 * product, where im2col holds all of them.
 */
export function weightGradient(f: Formula, sides: Sides, window: Window, groups: number): string {
  return weightGradientForms[chooseWeightForm(sides.weight, window, groups)](f, sides, window, groups);
}

interface Extents {
  readonly batch: number;
  /** Channels of a group. */
  readonly inputs: number;
  readonly outputs: number;
  /** Windows a sample. */
  readonly places: number;
}

function extentsOf(f: Formula, { input, weight }: Sides, window: Window, groups: number): Extents {
  return {
    batch: f.shapeOf(input)[0]!,
    inputs: weight[1]!,
    outputs: weight[0]! / groups,
    places: sizeOf(window.output),
  };
}

/** Positions joined so that a product has enough columns. */
function chunksOf(parts: readonly string[], channels: number): string[][] {
  const size = channels >= FEW_COLUMNS ? 1 : Math.ceil(ENOUGH_COLUMNS / channels);
  const chunks: string[][] = [];
  for (let i = 0; i < parts.length; i += size) chunks.push(parts.slice(i, i + size));
  return chunks;
}

/** Products come as (output channel, position, input channel), weights are (output, input, position). */
function assemble(f: Formula, products: readonly string[], weight: readonly number[]): string {
  return f.reshape(f.transpose(f.concat(products, 1), [0, 2, 1]), weight);
}
