import type { BatchStatistics } from '../../graph/index.js';

/** How one statistic of a batch goes into a running one. */
export interface Fold {
  /** [C], changed in place. */
  readonly running: Float32Array;
  /** What is kept of the running statistic, 0 to 1. */
  readonly momentum: number;
  /** Multiplies the batch's value first: n / (n - 1) makes the variance of n values unbiased. */
  readonly correction: number;
}

/** running = momentum * running + (1 - momentum) * correction * batch, for the C values of `batch` from index `at`. */
export function fold({ running, momentum, correction }: Fold, batch: Float32Array, at = 0): void {
  const weight = (1 - momentum) * correction;
  for (let i = 0; i < running.length; i++) running[i] = momentum * running[i]! + weight * batch[at + i]!;
}

/** What is to be folded after a step: each output of the training graph, in order, with the statistic that it moves. */
export function foldsOf(
  statistics: readonly BatchStatistics[],
  runningOf: (name: string) => Float32Array,
): readonly { readonly output: string; readonly fold: Fold }[] {
  return statistics.flatMap(({ mean, variance, momentum, count }) => [
    { output: mean.output, fold: { running: runningOf(mean.buffer), momentum, correction: 1 } },
    {
      output: variance.output,
      fold: { running: runningOf(variance.buffer), momentum, correction: count / (count - 1) },
    },
  ]);
}
