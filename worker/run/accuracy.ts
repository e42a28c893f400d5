import type { JobSpec } from '../../protocol/index.js';

/** How many predictions of a batch were right, of how many. */
export interface Score {
  readonly correct: number;
  readonly counted: number;
}

/** PyTorch's mark for targets that do not count. */
const IGNORE_INDEX = -100n;

/**
 * Scores a model's output against the target, or returns undefined for losses without a notion of right.
 *
 * cross_entropy: the largest logit is at the class id; classes are axis 1 for [N, C, ...], the last axis for
 * [N, ..., C], as the target's shape tells. binary_cross_entropy_with_logits: logit and target are on the same
 * side (0 and one half).
 */
export function scoreOf(
  loss: JobSpec['loss'],
  output: { readonly shape: readonly number[]; readonly data: Float32Array },
  target: { readonly shape: readonly number[]; readonly data: Float32Array | BigInt64Array },
): Score | undefined {
  if (loss === 'binary_cross_entropy_with_logits' && target.data instanceof Float32Array) {
    let correct = 0;
    for (let i = 0; i < output.data.length; i++) {
      if (output.data[i]! > 0 === target.data[i]! > 0.5) correct++;
    }
    return { correct, counted: output.data.length };
  }
  if (loss !== 'cross_entropy' || !(target.data instanceof BigInt64Array)) return undefined;
  return scoreClasses(output, target.data, classAxis(output.shape, target.shape));
}

function classAxis(output: readonly number[], target: readonly number[]): number {
  const lastIsClasses = target.every((dim, i) => dim === output[i]);
  return lastIsClasses ? output.length - 1 : 1;
}

function scoreClasses(
  { shape, data }: { readonly shape: readonly number[]; readonly data: Float32Array },
  target: BigInt64Array,
  axis: number,
): Score {
  const classes = shape[axis]!;
  const inner = shape.slice(axis + 1).reduce((product, dim) => product * dim, 1);
  let correct = 0;
  let counted = 0;
  for (let i = 0; i < target.length; i++) {
    const wanted = target[i]!;
    if (wanted === IGNORE_INDEX) continue;
    counted++;
    const start = Math.floor(i / inner) * classes * inner + (i % inner);
    let best = 0;
    for (let c = 1; c < classes; c++) {
      if (data[start + c * inner]! > data[start + best * inner]!) best = c;
    }
    if (best === Number(wanted)) correct++;
  }
  return { correct, counted };
}
