import type { RunPlan } from '../../protocol/index.js';
import type { RankMessage, RunId } from '../messages.js';
import type { Evaluation } from './evaluator.js';
import type { StepClock } from './step-clock.js';
import type { StepResult } from './trainer.js';

/** What is told of a step. @param step number of steps done */
export function stepReport(
  run: RunId,
  plan: RunPlan,
  step: number,
  result: StepResult,
  clock: StepClock,
  evaluation: Evaluation | undefined,
): Extract<RankMessage, { kind: 'step' }> {
  return {
    kind: 'step',
    run,
    numbers: {
      step,
      dataEpoch: step / plan.stepsPerEpoch,
      loss: result.loss,
      learningRate: result.learningRate,
      samplesPerSecond: clock.samplesPerSecond,
      gradientNorm: result.gradientNorm,
      atSeconds: clock.seconds,
      ...(evaluation ? { validationLoss: evaluation.loss } : {}),
      ...(evaluation?.accuracy === undefined ? {} : { validationAccuracy: evaluation.accuracy }),
    },
  };
}
