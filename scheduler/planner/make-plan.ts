import { formatBytes } from '../../base/index.js';
import type { Plan, RejectedPlan } from '../plan.js';
import { lowerBound } from './bound.js';
import { describe } from './describe.js';
import { leastNeedAlone, refuse } from './refuse.js';
import type { PlanRequest } from './request.js';
import { nameOf, search } from './search.js';
import { validateRequest } from './validate.js';

/** More rejected plans than this are not listed. */
const MOST_REJECTED = 12;

/**
 * The fastest plan found for a model on devices within their budgets, with what it predicts, what was rejected and how
 * far from the best it may be.
 *
 * Pure. Every unit is in exactly one stage, samples of each stage's replicas add up to the batch, and every replica's
 * predicted peak is within its budget. What is promised of its speed, and how time grows: see `search`.
 * @throws PlacementError, ShareError, BatchTooSmallError, ScheduleError where what is forced cannot be
 * @throws BudgetTooSmallError where no plan fits the budgets, with the smallest change found that makes one fit
 */
export function makePlan(request: PlanRequest): Plan {
  validateRequest(request);
  const [best, ...others] = search(request);
  if (!best) throw refuse(request);
  const boundSeconds = lowerBound(request.layers, request.devices, request.batch);
  const slower = others.map((other): RejectedPlan => ({
    plan: nameOf(other),
    reason: `slower than ${nameOf(best)}`,
    predictedStepSeconds: other.seconds,
  }));
  const described = describe(request, best);
  return {
    ...described,
    boundSeconds,
    gap: (best.seconds - boundSeconds) / boundSeconds,
    rejected: [...slower, ...unfit(request), ...idle(request, described)].slice(0, MOST_REJECTED),
  };
}

/** Devices on which the model does not fit alone. */
function unfit(request: PlanRequest): readonly RejectedPlan[] {
  return request.devices.slice(0, MOST_REJECTED).flatMap((device) => {
    const need = leastNeedAlone(request);
    if (need <= device.memoryBytes) return [];
    const reason = `it needs ${formatBytes(need)} at least, the budget is ${formatBytes(device.memoryBytes)}`;
    return [{ plan: `alone on ${device.id}`, reason }];
  });
}

function idle({ devices }: PlanRequest, { stages }: Pick<Plan, 'stages'>): readonly RejectedPlan[] {
  const used = new Set(stages.flatMap(({ replicas }) => replicas.map(({ device }) => device)));
  return devices
    .filter(({ id }) => !used.has(id))
    .map(({ id }) => ({ plan: `with ${id}`, reason: 'no plan found is faster with it' }));
}
