import { sha256 } from '../../base/index.js';
import {
  artifactOf,
  patternsIn,
  type JobSpec,
  type ModelProfile,
  type ProfileTask,
} from '../../protocol/index.js';
import {
  Abilities,
  DEFAULT_BUCKET_BYTES,
  footprintOf,
  rangesToTime,
  type Device,
  type LayerProfile,
  type ModelTiming,
  type UnitRange,
} from '../../scheduler/index.js';
import type { ModelFacts } from '../job/index.js';

/** More parts tell units apart better and take longer: each is compiled three times. */
const MOST_PARTS = 16;
/** Micro-batches of a pipeline are a part of the batch. */
const MICRO_BATCHES = 4;
/** Values of a program that is timed are there at most so often: the engine's, and those that go in and come out. */
const COPIES = 3;
/** Nothing is begun after so many seconds. */
const SECONDS = 10;

/** What is timed of a model on a device, and which units each part is. */
export interface ProfilePlan {
  readonly task: ProfileTask;
  readonly ranges: readonly UnitRange[];
}

/** The same for jobs whose models take the same time, whatever their data, batch and optimizer; undefined: not known. */
export function graphKey(job: JobSpec, { samples }: ModelFacts): string | undefined {
  if (!samples) return undefined;
  const { model, frozen, loss, lossOutput, batchNormalization } = job;
  return sha256(
    JSON.stringify([model, frozen ?? [], loss, lossOutput ?? null, batchNormalization ?? null, samples]),
  );
}

/** What to time of a job's model on a device, as large as its memory allows; undefined where nothing fits. Pure. */
export function profilePlan(job: JobSpec, model: ModelFacts, device: Device): ProfilePlan | undefined {
  const { layers, samples: shapes } = model;
  if (!shapes) return undefined;
  const abilities = new Abilities(layers, device);
  const ranges = rangesToTime(layers, MOST_PARTS).filter(({ from, to }) => abilities.samples(from, to) >= 1);
  const free = device.memoryBytes - footprintOf(device).runtimeBytes;
  const runnable = Math.min(...ranges.map(({ from, to }) => abilities.samples(from, to)));
  const samples = largest(
    Math.min(runnable, Math.ceil(job.batch / MICRO_BATCHES)),
    (count) => ofParts(layers, ranges, count) <= free,
  );
  const whole = Math.min(job.batch, abilities.samples(0, layers.units.length));
  const wholeSamples = largest(whole, (count) => ofWhole(layers, count) <= free);
  if (samples === 0 || ranges.length === 0) return undefined;
  const task: ProfileTask = {
    model: artifactOf(job.model) ?? job.model,
    frozen: [...patternsIn(job.frozen ?? [])],
    loss: job.loss,
    lossOutput: job.lossOutput ?? null,
    batchNormalization: job.batchNormalization ?? 'exported',
    inputs: shapes.inputs.map(({ name, shape }) => ({ name, shape: [...shape] })),
    target: [...shapes.target],
    parts: ranges.map(({ from, to }) => layers.units.slice(from, to).flatMap(({ nodes }) => nodes)),
    samples,
    wholeSamples,
    bucketBytes: job.communication?.bucketBytes ?? DEFAULT_BUCKET_BYTES,
    seconds: SECONDS,
  };
  return { task, ranges };
}

/** What a device answered, in the profile's units. Parts that are not the task's are left out. Pure. */
export function timingOf({ task, ranges }: ProfilePlan, { parts, whole }: ModelProfile): ModelTiming {
  return {
    samples: task.samples,
    ranges: parts.flatMap(({ part, ...seconds }) => {
      const range = ranges[part];
      return range ? [{ ...range, ...seconds }] : [];
    }),
    whole: whole === null || whole === 0 ? null : { samples: task.wholeSamples, seconds: whole },
  };
}

/** Halves `most` until it fits; 0 where one sample does not. */
function largest(most: number, fits: (count: number) => boolean): number {
  let count = most;
  while (count > 0 && !fits(count)) count = Math.floor(count / 2);
  return count;
}

function ofParts({ units }: LayerProfile, ranges: readonly UnitRange[], samples: number): number {
  return Math.max(
    ...ranges.map(({ from, to }) =>
      units.slice(from, to).reduce((sum, unit) => {
        const values = unit.savedBytesPerSample + unit.forwardBytesPerSample + unit.backwardBytesPerSample;
        return sum + 2 * parametersOf(unit) + COPIES * samples * values;
      }, 0),
    ),
  );
}

function ofWhole({ units, fused }: LayerProfile, samples: number): number {
  const line = ({ base, perSample }: LayerProfile['fused']['activationBytes']) => base + perSample * samples;
  const parameters = units.reduce((sum, unit) => sum + parametersOf(unit), 0);
  return 2 * parameters + COPIES * (line(fused.activationBytes) + line(fused.crossingBytes));
}

function parametersOf({ parameters }: LayerProfile['units'][number]): number {
  return parameters.reduce((sum, { bytes }) => sum + bytes, 0);
}
