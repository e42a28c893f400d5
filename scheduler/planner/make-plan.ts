import { formatBytes } from '../../base/index.js';
import type { Plan, RejectedPlan } from '../plan.js';
import { footprintOf } from '../account.js';
import { lowerBound } from './bound.js';
import { describe } from './describe.js';
import { whyNot } from './explain.js';
import { limitedTo, refuseImpossible } from './impossible.js';
import { leastNeedAlone, refuse } from './refuse.js';
import type { PlanRequest } from './request.js';
import { nameOf, type Candidate } from './candidate.js';
import { search } from './search.js';
import { validateRequest } from './validate.js';

/** Of rejected plans that differ in the device alone no more are listed. */
const MOST_OF_A_KIND = 4;

/**
 * The fastest plan found for a model on devices within their budgets, with what it predicts, what was rejected and how
 * far from the best it may be.
 *
 * Pure. Devices are taken as they are given: measured ones should have been levelled (`levelDevices`) by whoever asks, for
 * noise would make shares uneven; what is promised then holds from one level to the next. Every unit is in exactly one stage, samples of each stage's replicas add up to the batch, and every replica's
 * predicted peak is within its budget. What is promised of its speed, and how time grows: see `search`.
 * @throws PlacementError, ShareError, BatchTooSmallError, ScheduleError where what is forced cannot be
 * @throws CannotRunError where no device can run some layer, or none of them together all, whatever their memory
 * @throws BudgetTooSmallError where no plan fits the budgets, with the smallest change found that makes one fit
 */
export function makePlan(request: PlanRequest): Plan {
  validateRequest(request);
  refuseImpossible(request);
  const [best, ...others] = search(request);
  if (!best) throw refuse(request);
  const boundSeconds = lowerBound(request.layers, request.devices, request.batch);
  const described = describe(request, best);
  return {
    ...described,
    boundSeconds,
    gap: (best.seconds - boundSeconds) / boundSeconds,
    rejected: [
      ...otherKinds(best, others),
      ...noPipeline(request, [best, ...others]),
      ...unfit(request).slice(0, MOST_OF_A_KIND),
      ...limitedTo(request).slice(0, MOST_OF_A_KIND),
      ...idle(request, described).slice(0, MOST_OF_A_KIND),
    ],
  };
}

/** The best of every other kind of plan; of plans for one device alone the fastest few. */
function otherKinds(best: Candidate, others: readonly Candidate[]): readonly RejectedPlan[] {
  const seen = new Set([nameOf(best)]);
  let alone = 0;
  return others.flatMap((other): RejectedPlan[] => {
    const plan = nameOf(other);
    if (seen.has(plan)) return [];
    seen.add(plan);
    if (plan !== other.kind && ++alone > MOST_OF_A_KIND) return [];
    return [{ plan, reason: whyNot(other, best), predictedStepSeconds: other.seconds }];
  });
}

/** Searches keep to what may be faster: where they found no pipeline, all of them are slower. */
function noPipeline(
  { devices, parallelism: { data, pipeline } = {} }: PlanRequest,
  candidates: readonly Candidate[],
): readonly RejectedPlan[] {
  const considered = pipeline === undefined && devices.length >= 2 * (data ?? 1);
  if (!considered || candidates.some(({ choices }) => choices.length > 1)) return [];
  return [{ plan: 'pipelines', reason: 'none of 2 stages or more is faster' }];
}

/** Devices on which the model does not fit alone. */
function unfit(request: PlanRequest): readonly RejectedPlan[] {
  return request.devices.flatMap((device) => {
    const need = leastNeedAlone(request, footprintOf(device));
    if (need <= device.memoryBytes) return [];
    const reason = `it needs ${formatBytes(need)} at least, the budget is ${formatBytes(device.memoryBytes)}`;
    return [{ plan: `alone on ${device.id}`, reason }];
  });
}

function idle({ devices }: PlanRequest, { stages }: Pick<Plan, 'stages'>): readonly RejectedPlan[] {
  const used = new Set(stages.flatMap(({ replicas }) => replicas.map(({ device }) => device)));
  return devices
    .filter(({ id }) => !used.has(id))
    .map(({ id }) => ({ plan: `with ${id}`, reason: 'no plan found is much faster with it' }));
}
