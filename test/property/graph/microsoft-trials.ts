import { attribute, type Attributes } from '../../../graph/index.js';
import type { Draw, Trial } from './draw.js';

type Make = (draw: Draw) => Trial;

const { int, float } = attribute;

const biased =
  (optional: boolean): Make =>
  (draw) => {
    const shape = draw.shape(1);
    const bias = optional && draw.flag() ? undefined : draw.floats([shape.at(-1)!]);
    return { inputs: [draw.floats(shape), bias] };
  };

/** Outputs of a normalization with a skip that onnxruntime computes: the result, the sum. */
const skipped =
  (vectors: number): Make =>
  (draw) => {
    const shape = [draw.between(1, 3), draw.between(1, 3), draw.between(2, 5)];
    const skip = draw.one([shape, shape.with(0, 1), shape.slice(1)]);
    const width = shape.slice(2);
    return {
      inputs: [
        draw.floats(shape),
        draw.floats(skip),
        draw.floats(width),
        ...Array.from({ length: vectors }, () => (draw.flag() ? draw.floats(width) : undefined)),
      ],
      outputs: draw.flag() ? ['y', '', '', 'sum'] : ['y'],
      attributes: { epsilon: float(2 ** -10) },
    };
  };

/** One operand of a product of matrices, in the order of axes that its flags say. */
function stored(draw: Draw, shape: readonly number[], flags: { trans: number; transBatch: number }) {
  const batch = shape.slice(0, -2);
  const [row, column] = flags.trans ? [shape.at(-1)!, shape.at(-2)!] : [shape.at(-2)!, shape.at(-1)!];
  return draw.floats(flags.transBatch ? [row, ...batch, column] : [...batch, row, column]);
}

const fusedMatMul: Make = (draw) => {
  const batch = draw.shape(0, 2);
  const [m, k, n] = [draw.between(1, 4), draw.between(1, 4), draw.between(1, 4)];
  const moves = batch.length > 0 && draw.flag();
  const flags = (): { trans: number; transBatch: number } => ({
    trans: draw.below(2),
    transBatch: moves ? draw.below(2) : 0,
  });
  const [left, right] = [flags(), flags()];
  const attributes: Attributes = {
    transA: int(left.trans),
    transB: int(right.trans),
    transBatchA: int(left.transBatch),
    transBatchB: int(right.transBatch),
    ...(draw.flag() ? { alpha: float(0.5) } : {}),
  };
  return {
    inputs: [stored(draw, [...batch, m, k], left), stored(draw, [...batch, k, n], right)],
    attributes,
  };
};

/** onnxruntime's own operators on random shapes and attributes. */
export const MICROSOFT_TRIALS: Readonly<Record<string, Make>> = {
  'com.microsoft.BiasGelu': biased(false),
  'com.microsoft.FastGelu': biased(true),
  'com.microsoft.FusedMatMul': fusedMatMul,
  'com.microsoft.Gelu': (draw) => ({ inputs: [draw.floats(draw.shape())] }),
  'com.microsoft.QuickGelu': (draw) => ({
    inputs: [draw.floats(draw.shape())],
    attributes: draw.flag() ? { alpha: float(1) } : {},
  }),
  'com.microsoft.SkipLayerNormalization': skipped(2),
  'com.microsoft.SkipSimplifiedLayerNormalization': skipped(1),
};
