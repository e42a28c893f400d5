import type { MetricRow, StepReport } from '../../protocol/index.js';

/** A row of `metrics.jsonl` from what rank 0 reported. Pure. JSON has no NaN: a number that is not finite is null. */
export function rowOf(report: StepReport): MetricRow {
  const { step, dataEpoch: epoch, validationLoss, validationAccuracy } = report;
  return {
    step,
    epoch,
    loss: finite(report.loss),
    learningRate: report.learningRate,
    samplesPerSecond: finite(report.samplesPerSecond) ?? 0,
    gradientNorm: finite(report.gradientNorm),
    seconds: report.atSeconds,
    ...(validationLoss === undefined ? {} : { validationLoss: finite(validationLoss) }),
    ...(validationAccuracy === undefined ? {} : { validationAccuracy }),
  };
}

/** The same numbers under TensorBoard's tags. */
export function scalarsOf(row: MetricRow): Record<string, number | null | undefined> {
  return {
    loss: row.loss,
    learning_rate: row.learningRate,
    samples_per_second: row.samplesPerSecond,
    gradient_norm: row.gradientNorm,
    'validation/loss': row.validationLoss,
    'validation/accuracy': row.validationAccuracy,
  };
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
