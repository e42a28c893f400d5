import { formatBytes, formatSeconds } from '../base/index.js';
import { accountFor, bytesPerSample, samplesWithin, totalOf } from './account.js';
import type { Device, Link } from './device.js';
import { BatchTooSmallError, BudgetTooSmallError, PlacementError, ShareError } from './errors.js';
import type { Plan, RejectedPlan, Replica } from './plan.js';
import type { ModelProfile } from './profile.js';
import { ringSeconds } from './planner/cost.js';
import { levelSpeeds, splitShares } from './shares.js';

/** Share of a large matrix product's rate that a whole training step reaches (bench/step, onnxruntime on CPU). */
const STEP_EFFICIENCY = 0.6;

export interface DataParallelRequest {
  readonly profile: ModelProfile;
  readonly nodes: readonly string[];
  readonly parameters: readonly string[];
  readonly batch: number;
  readonly devices: readonly Device[];
  readonly link: Link;
  /** How many devices to use; default: all that help. */
  readonly replicas?: number;
  /** Relative shares, one a device, in the order of `devices`; default: by measured speed. */
  readonly shares?: readonly number[];
}

/**
 * One stage, replicated: every device holds the whole model and takes a share of each batch in proportion to
 * its measured speed, as far as its budget allows.
 *
 * Without `replicas` a device whose share would round to nothing is left out and named in `rejected`.
 * O(n^2) in the devices at worst, independent of the model's size.
 * @throws PlacementError, ShareError, BatchTooSmallError, BudgetTooSmallError
 */
export function planDataParallel(request: DataParallelRequest): Plan {
  const { profile, batch, link } = request;
  const chosen = choose(request);
  if (batch < chosen.length) throw new BatchTooSmallError(batch, chosen.length);
  const rejected: RejectedPlan[] = [];
  let devices = chosen;
  for (;;) {
    const capacity = devices.map((device) => samplesWithin(profile, device.memoryBytes, devices.length));
    const unfit = devices.filter((_, i) => capacity[i] === 0);
    if (unfit.length > 0) {
      if (unfit.length === devices.length || request.replicas !== undefined || request.shares) {
        throw tooSmall(profile, unfit, devices.length);
      }
      for (const device of unfit) rejected.push(leaveOut(device, profile, devices.length));
      devices = devices.filter((device) => !unfit.includes(device));
      continue;
    }
    const weights = request.shares ?? levelSpeeds(devices.map((device) => device.flops));
    const shares = splitShares(batch, weights, capacity);
    if (!shares) throw overCapacity(profile, devices, capacity, batch);
    const idle = devices.filter((_, i) => shares[i] === 0);
    if (idle.length === 0) return describe(request, devices, shares, rejected, link);
    if (request.shares) throw noSample(request.shares, idle, batch);
    if (request.replicas !== undefined) return describe(request, devices, atLeastOne(shares), rejected, link);
    for (const device of idle) {
      rejected.push({
        plan: `with ${device.id}`,
        reason: `its share of ${batch} samples rounds to none: it is too slow beside the others`,
      });
    }
    devices = devices.filter((device) => !idle.includes(device));
  }
}

function choose({ devices, replicas, shares }: DataParallelRequest): readonly Device[] {
  if (devices.length === 0) throw new PlacementError('no device has joined; start one with: dtrain worker');
  const wanted = replicas ?? shares?.length ?? devices.length;
  if (shares && shares.length !== wanted) {
    throw new ShareError(
      `parallelism: ${shares.length} shares for ${wanted} devices; give one share a device`,
    );
  }
  if (wanted > devices.length) {
    throw new PlacementError(
      `parallelism: asks for ${wanted} devices, but ${devices.length} have joined (${devices.map((d) => d.id).join(', ')})`,
    );
  }
  if (wanted === devices.length || shares) return devices.slice(0, wanted);
  const fastest = [...devices].sort((a, b) => b.flops - a.flops).slice(0, wanted);
  return devices.filter((device) => fastest.includes(device));
}

/** Takes a sample from the largest share for each device that has none. */
function atLeastOne(shares: readonly number[]): readonly number[] {
  const given = [...shares];
  for (let i = 0; i < given.length; i++) {
    if (given[i] !== 0) continue;
    given[given.indexOf(Math.max(...given))]!--;
    given[i] = 1;
  }
  return given;
}

function describe(
  { profile, nodes, parameters, batch }: DataParallelRequest,
  devices: readonly Device[],
  shares: readonly number[],
  rejected: readonly RejectedPlan[],
  link: Link,
): Plan {
  const worldSize = devices.length;
  const replicas = devices.map((device, i): Replica => {
    const account = accountFor(profile, shares[i]!, worldSize);
    return {
      device: device.id,
      samplesPerStep: shares[i]!,
      predictedPeakBytes: totalOf(account),
      budgetBytes: device.memoryBytes,
      predictedBusySeconds: (profile.flopsPerSample * shares[i]!) / (device.flops * STEP_EFFICIENCY),
      account,
    };
  });
  const slowest = replicas.reduce((a, b) => (b.predictedBusySeconds > a.predictedBusySeconds ? b : a));
  const exchange = ringSeconds(profile.trainedBytes, worldSize, link);
  const total = devices.reduce((sum, device) => sum + device.flops, 0);
  return {
    predictedStepSeconds: slowest.predictedBusySeconds + exchange,
    bottleneck:
      exchange > slowest.predictedBusySeconds
        ? { device: 'network', why: `exchanging gradients takes ${formatSeconds(exchange)} a step` }
        : {
            device: slowest.device,
            why: `computing its share takes ${formatSeconds(slowest.predictedBusySeconds)} a step`,
          },
    schedule: { kind: 'data-parallel', microBatches: 1 },
    stages: [{ index: 0, nodes, parameters, replicas }],
    rejected,
    explanation: replicas.map((replica, i) => {
      const percent = Math.round((100 * devices[i]!.flops) / total);
      return (
        `${replica.device} takes ${replica.samplesPerStep} of ${batch} samples a step: ` +
        `${(devices[i]!.flops / 1e9).toFixed(1)} GFLOP/s measured, ${percent} % of the cluster; ` +
        `needs ${formatBytes(replica.predictedPeakBytes)} of its ${formatBytes(replica.budgetBytes)}`
      );
    }),
  };
}

function leaveOut(device: Device, profile: ModelProfile, worldSize: number): RejectedPlan {
  const need = totalOf(accountFor(profile, 1, worldSize));
  return {
    plan: `with ${device.id}`,
    reason: `one sample needs ${formatBytes(need)}, its budget is ${formatBytes(device.memoryBytes)}`,
  };
}

function tooSmall(profile: ModelProfile, devices: readonly Device[], worldSize: number): BudgetTooSmallError {
  const need = totalOf(accountFor(profile, 1, worldSize));
  const largest = devices.reduce((a, b) => (b.memoryBytes > a.memoryBytes ? b : a));
  return new BudgetTooSmallError(
    need - largest.memoryBytes,
    `${largest.id} has a budget of ${formatBytes(largest.memoryBytes)}, the model needs ${formatBytes(need)} for one sample`,
    `give it memory=${Math.ceil(need / 2 ** 20)}MiB or more, or train a smaller model`,
  );
}

function noSample(shares: readonly number[], devices: readonly Device[], batch: number): ShareError {
  const total = shares.reduce((sum, share) => sum + share, 0);
  const enough = Math.ceil(total / Math.min(...shares));
  return new ShareError(
    `parallelism.shares: [${shares.join(', ')}] of a batch of ${batch} leaves ${devices.map((device) => device.id).join(', ')} ` +
      `without a sample; use batch: ${enough} or more, or shares that are closer to each other`,
  );
}

function overCapacity(
  profile: ModelProfile,
  devices: readonly Device[],
  capacity: readonly number[],
  batch: number,
): BudgetTooSmallError {
  const most = capacity.reduce((sum, samples) => sum + samples, 0);
  return new BudgetTooSmallError(
    Math.ceil((batch - most) * bytesPerSample(profile)),
    `the ${devices.length} devices together hold ${most} samples a step, the batch is ${batch}`,
    `use batch: ${most} or less, or raise the devices' memory`,
  );
}
