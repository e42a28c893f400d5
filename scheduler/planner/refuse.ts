import { formatBytes, type Bytes } from '../../base/index.js';
import { CPU_FOOTPRINT, footprintOf, totalOf, type Footprint } from '../account.js';
import type { Device } from '../device.js';
import { BudgetTooSmallError, type CannotRunError } from '../errors.js';
import type { Candidate } from './candidate.js';
import { impossibleTogether, incapable } from './impossible.js';
import { ROUNDED_BYTES, UnitBytes } from './memory.js';
import type { PlanRequest } from './request.js';
import { search } from './search.js';
import { microBatchCounts } from './slicing.js';

/** Advice is given to this many bytes. */
const STEP_BYTES: Bytes = 2 ** 20;
/** A budget that is advised is at most this part too large, and at least a MiB exact. */
const PRECISION = 128;
/** The devices for which the least addition is looked for are those that have most: so many, in a cluster of so many. */
const tried = (devices: number): number => (devices <= 8 ? 4 : 1);

/** What one device needs for the model with the smallest micro-batches. O(units). */
export function leastNeedAlone(
  { layers, job, batch, parallelism = {} }: PlanRequest,
  footprint: Footprint = CPU_FOOTPRINT,
): Bytes {
  const bytes = new UnitBytes(layers, job);
  const counts =
    parallelism.microBatches === undefined ? microBatchCounts(batch) : [parallelism.microBatches];
  const stages = [{ from: 0, to: layers.units.length, inFlight: 1 }];
  const holding = { stages, keeping: 'fused', replicas: 1, shardOptimizer: true, neighbours: 0 } as const;
  const needs = counts.map((microBatches) =>
    totalOf(bytes.account(holding, Math.ceil(batch / microBatches), footprint)),
  );
  return Math.min(...needs) + ROUNDED_BYTES;
}

/**
 * Why nothing fits, and what would: first what the job forces, loosened one at a time, then the least memory that one device
 * needs more, by bisection over whole plans (a larger budget never makes a plan impossible).
 * Takes some dozens of searches that end with the first plan found, and all together no longer than the request's time
 * limit: then the advice is more than it need be.
 */
export function refuse(request: PlanRequest): BudgetTooSmallError | CannotRunError {
  const { now = () => 0, timeLimitSeconds = Infinity } = request;
  const end = now() + timeLimitSeconds;
  const find: Find = (asked) => search({ ...asked, timeLimitSeconds: Math.max(0, end - now()) }, true);
  const { devices, parallelism } = request;
  const lacking = incapable(request);
  if (lacking.length > 0 && !hasPlan(withEndlessMemory(request), find)) {
    return impossibleTogether(request, parallelism && loosen(request, find));
  }
  const largest = [...devices].sort((a, b) => b.memoryBytes - a.memoryBytes).slice(0, tried(devices.length));
  const additions = largest.flatMap((device) => {
    const enough = leastMemory(request, device, find);
    return enough === undefined ? [] : [{ device, enough, more: enough - device.memoryBytes }];
  });
  const least = additions.reduce<(typeof additions)[number] | undefined>(
    (a, b) => (a && a.more <= b.more ? a : b),
    undefined,
  );
  const [first] = largest;
  const alone = leastNeedAlone(request, footprintOf(first!));
  const who =
    `no plan fits: the model needs ${formatBytes(alone)} at least on one device, ` +
    `the largest budget is ${formatBytes(first!.memoryBytes)} (${first!.id})` +
    lacking.map((sentence) => `; ${sentence}`).join('');
  const loosened = parallelism && loosen(request, find);
  const advice = [
    ...(loosened ? [loosened] : []),
    ...(least ? [`give ${least.device.id} memory=${least.enough / STEP_BYTES}MiB`] : []),
  ];
  const short = least?.more ?? Math.max(STEP_BYTES, alone - first!.memoryBytes);
  return new BudgetTooSmallError(
    short,
    who,
    advice.length > 0 ? advice.join(', or ') : 'give every device more memory, or train a smaller model',
  );
}

/** The plans of a request, as far as is needed to know whether there are any, within what time is left. */
type Find = (request: PlanRequest) => readonly Candidate[];

/** About the least budget of a device, in whole MiB, with which the request has a plan. */
function leastMemory(request: PlanRequest, device: Device, find: Find): Bytes | undefined {
  const fits = (mebibytes: number) => hasPlan(withMemory(request, device, mebibytes * STEP_BYTES), find);
  let low = Math.floor(device.memoryBytes / STEP_BYTES); // does not fit
  let high = Math.max(low + 1, Math.ceil(leastNeedAlone(request, footprintOf(device)) / STEP_BYTES)) * 2;
  if (!fits(high)) return undefined;
  while (high - low > Math.max(1, high / PRECISION)) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) high = middle;
    else low = middle;
  }
  return high * STEP_BYTES;
}

function withEndlessMemory(request: PlanRequest): PlanRequest {
  const devices = request.devices.map((device) => ({ ...device, memoryBytes: Number.MAX_SAFE_INTEGER }));
  return { ...request, devices };
}

function withMemory(request: PlanRequest, device: Device, memoryBytes: Bytes): PlanRequest {
  const devices = request.devices.map((each) => (each === device ? { ...each, memoryBytes } : each));
  return { ...request, devices };
}

/**
 * Whether any plan fits: memory falls with the number of micro-batches, but for the gradients that are added up as soon
 * as there are two, so the most and one are enough to ask about; of schedules 1F1B holds least.
 */
function hasPlan(request: PlanRequest, find: Find): boolean {
  const { parallelism, batch } = request;
  const ask = (microBatches: number) =>
    find({ ...request, parallelism: { ...parallelism, microBatches } }).length > 0;
  if (parallelism?.microBatches !== undefined) return ask(parallelism.microBatches);
  const counts = microBatchCounts(batch);
  return ask(counts.at(-1)!) || ask(1);
}

/** The first of what the job forces that would let it fit if it were left to the planner. */
function loosen(request: PlanRequest, find: Find): string | undefined {
  const { parallelism = {} } = request;
  const without = (field: keyof typeof parallelism) =>
    find({ ...request, parallelism: { ...parallelism, [field]: undefined } })[0];
  if (parallelism.microBatches !== undefined) {
    const found = without('microBatches');
    if (found) return `use microBatches: ${found.slicing.microBatches}`;
  }
  if (parallelism.recompute === false && without('recompute')) return 'use recompute: true';
  if (parallelism.shares && without('shares')) return 'leave parallelism.shares out';
  if (parallelism.shardOptimizer === false && without('shardOptimizer')) return 'use shardOptimizer: true';
  if (parallelism.schedule && parallelism.schedule !== '1f1b' && without('schedule')) {
    return 'use schedule: 1f1b, which has fewer micro-batches in flight';
  }
  if (parallelism.pipeline !== undefined) {
    const found = without('pipeline');
    if (found) return `use pipeline: ${found.choices.length}`;
  }
  return undefined;
}
