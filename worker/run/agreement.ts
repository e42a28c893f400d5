import type { Communicator } from '../../collectives/index.js';
import type { RunPlan } from '../../protocol/index.js';
import { DivergedError } from '../errors.js';
import { clipFactor, learningRateAt, type Settings, type StepScalars } from '../optimizer/index.js';
import type { Updated } from './updating.js';

export type AgreementPlan = Pick<RunPlan, 'schedule' | 'totalSteps' | 'clipNorm'>;

/** What all ranks know before any of them updates. */
export interface Agreed extends Updated {
  /** By settings. */
  readonly scalars: readonly StepScalars[];
}

/**
 * Sums the loss and the squares of the gradient over all ranks: every one comes to the same norm and factor.
 * @throws DivergedError when loss or gradient leave the reals
 */
export async function agree(
  world: Pick<Communicator, 'allReduceScalars'>,
  plan: AgreementPlan,
  settings: readonly Settings[],
  own: { readonly step: number; readonly loss: number; readonly squares: number },
): Promise<Agreed> {
  const { step } = own;
  const sums = await world.allReduceScalars(Float64Array.of(own.loss, own.squares));
  const [loss, squares] = [sums[0]!, sums[1]!];
  const gradientNorm = Math.sqrt(squares);
  if (!Number.isFinite(loss)) throw new DivergedError(step + 1, `the loss became ${loss}`);
  if (!Number.isFinite(gradientNorm))
    throw new DivergedError(step + 1, `the gradient became ${gradientNorm}`);
  const { schedule, totalSteps, clipNorm } = plan;
  const gradientScale = clipNorm === null ? 1 : clipFactor(squares, clipNorm);
  const scalars = settings.map(({ lr }) => ({
    learningRate: learningRateAt(lr, schedule, step, totalSteps),
    step: step + 1,
    gradientScale,
  }));
  return { loss, gradientNorm, learningRate: scalars[0]!.learningRate, scalars };
}
