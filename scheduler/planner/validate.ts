import { BatchTooSmallError, PlacementError, ShareError } from '../errors.js';
import { makeSchedule, ScheduleError } from '../pipeline/index.js';
import { validateCalibrations } from './calibrate.js';
import type { PlanRequest } from './request.js';
import { INTERLEAVED_STAGES } from './search.js';

/**
 * Whether what a job forces can be planned for at all, whatever the memory.
 * @throws PlacementError, ShareError, BatchTooSmallError, ScheduleError saying what would be accepted
 */
export function validateRequest({ layers, batch, devices, parallelism = {} }: PlanRequest): void {
  const { data, pipeline, microBatches, schedule, stagesPerRank, shares } = parallelism;
  const joined = devices.length;
  if (joined === 0) {
    throw new PlacementError('no device has joined; start one with: dtrain worker', { wanted: 1, joined });
  }
  validateCalibrations(layers, devices);
  const ids = devices.map(({ id }) => id);
  for (const [field, count] of Object.entries({ data, pipeline, microBatches, stagesPerRank })) {
    if (count === undefined || (Number.isSafeInteger(count) && count >= 1)) continue;
    throw new PlacementError(
      `parallelism.${field}: ${count}; a whole number from 1 to ${field === 'microBatches' ? batch : devices.length} would be accepted`,
    );
  }
  const wanted = (data ?? 1) * (pipeline ?? 1);
  if (wanted > devices.length) {
    const asks = [data && `data: ${data}`, pipeline && `pipeline: ${pipeline}`].filter(Boolean).join(', ');
    throw new PlacementError(
      `parallelism: { ${asks} } asks for ${wanted} devices, but ${devices.length} have joined (${some(ids)}); ` +
        `data x pipeline of at most ${devices.length} would be accepted`,
      { wanted, joined },
    );
  }
  if (schedule !== undefined && pipeline === 1) {
    throw new ScheduleError(
      `parallelism: { pipeline: 1, schedule: ${schedule} }: there is nothing to schedule on one pipeline rank; ` +
        'leave schedule out, or use pipeline: 2 or more',
    );
  }
  if (schedule !== undefined && schedule !== 'interleaved' && (stagesPerRank ?? 1) > 1) {
    throw new ScheduleError(
      `parallelism.stagesPerRank: ${stagesPerRank} with schedule: ${schedule}, which has one stage a rank; use schedule: interleaved`,
    );
  }
  const units = layers.units.length;
  const stages = (pipeline ?? 1) * (schedule === 'interleaved' ? (stagesPerRank ?? INTERLEAVED_STAGES) : 1);
  if (stages > units) {
    throw new PlacementError(
      `parallelism.pipeline: ${stages} stages, but the model can be cut into ${units} at most; use pipeline: ${units} or less`,
    );
  }
  if (microBatches !== undefined && microBatches > batch) {
    throw new PlacementError(
      `parallelism.microBatches: ${microBatches} of a batch of ${batch} leaves some without a sample; use ${batch} or less`,
    );
  }
  if (data !== undefined && data > batch) throw new BatchTooSmallError(batch, data);
  if (schedule === 'interleaved' && batch < (pipeline ?? 2)) {
    throw new PlacementError(
      `parallelism.schedule: interleaved passes micro-batches in groups of ${pipeline ?? 2}, but the batch has ${batch} ` +
        `samples; use a batch of ${pipeline ?? 2} or more, or another schedule`,
    );
  }
  if (pipeline !== undefined && schedule === 'interleaved' && microBatches !== undefined) {
    makeSchedule(schedule, { ranks: pipeline, microBatches, stagesPerRank: INTERLEAVED_STAGES });
  }
  if (schedule !== undefined && pipeline === undefined && devices.length < 2 * (data ?? 1)) {
    throw new PlacementError(
      `parallelism.schedule: ${schedule} needs two pipeline ranks${data === undefined ? '' : ` of ${data} devices`}, ` +
        `but ${devices.length} devices have joined (${some(ids)})`,
      { wanted: 2 * (data ?? 1), joined },
    );
  }
  if (shares) validateShares(shares, data, batch, microBatches);
}

function validateShares(
  shares: readonly number[],
  data: number | undefined,
  batch: number,
  microBatches: number | undefined,
): void {
  if (shares.length !== data) {
    throw new ShareError(
      `parallelism: ${shares.length} shares for ${data ?? 'an unknown number of'} replicas; give data: ${shares.length}, one share a replica`,
    );
  }
  if (!shares.every((share) => Number.isFinite(share) && share > 0)) {
    throw new ShareError(`parallelism.shares: [${shares.join(', ')}]; numbers above 0 would be accepted`);
  }
  const total = shares.reduce((sum, share) => sum + share, 0);
  const enough = Math.ceil(total / Math.min(...shares));
  const samples = Math.ceil(batch / (microBatches ?? 1));
  if (samples < enough) {
    throw new ShareError(
      `parallelism.shares: [${shares.join(', ')}] of ${samples} samples leaves a replica without one; ` +
        `use at least ${enough} samples a micro-batch, or shares that are closer to each other`,
    );
  }
}

/** The first few of a list, for messages. */
function some(ids: readonly string[]): string {
  return ids.length <= 8 ? ids.join(', ') : `${ids.slice(0, 8).join(', ')} and ${ids.length - 8} more`;
}
