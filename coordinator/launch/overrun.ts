import type { Plan } from '../../scheduler/index.js';
import { ranksOf, type Overrun } from '../job/index.js';
import type { Failure } from './rank.js';

/** What a device's executor fails with that took too much; an arena that is too small has this code, too, but no figures. */
const CODE = 'over_budget';
/** In the account of a plan. */
const RUNTIME = 'runtime';

export function isOverBudget({ code }: Pick<Failure, 'code'>): boolean {
  return code === CODE;
}

/** What a failure tells of a device's memory, beside what the plan had counted for it; undefined where it tells nothing. Pure. */
export function overrunOf(error: Failure, plan: Plan): Overrun | undefined {
  if (!isOverBudget(error)) return undefined;
  const told = [error.ids['measuredBytes'], error.ids['budgetBytes'], error.ids['predictedBytes']];
  const [measuredBytes, budgetBytes] = told;
  if (!told.every((figure) => typeof figure === 'number' && Number.isFinite(figure) && figure >= 0))
    return undefined;
  // the plan's own figure: a process that was killed from outside may not have read its plan
  const rank = ranksOf(plan).find(({ replica }) => replica.device === error.device);
  if (!rank) return undefined;
  const { device, predictedPeakBytes, account } = rank.replica;
  return {
    device,
    budgetBytes: budgetBytes as number,
    measuredBytes: measuredBytes as number,
    predictedBytes: predictedPeakBytes,
    runtimeBytes: account.find(({ what }) => what === RUNTIME)?.bytes ?? 0,
  };
}
