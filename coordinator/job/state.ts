import type { Bytes, Sha256 } from '../../base/index.js';
import type { JobSpec, JobState } from '../../protocol/index.js';
import type { JobBytes, LayerProfile, Plan } from '../../scheduler/index.js';
import { IllegalTransitionError } from '../errors.js';
import type { RankSummary } from './performance.js';

/**
 * A training job as the sum of its events. States, with the events that lead on:
 *
 *     queued -planned-> planning -launched-> starting -started-> running -succeeded-> succeeded
 *     queued, planning, starting, running -failed-> failed
 *     queued, planning, starting, running -cancelled-> cancelled
 *     starting, running -replanned-> queued, once
 *
 * `progressed` and `checkpointed` leave a running job running. `planning` never rests in the log: `planned`
 * and `launched` (or `failed`) are written together.
 */
export type TrainingJob = JobFacts &
  (
    | { readonly state: 'queued' }
    | { readonly state: 'planning' }
    | ({ readonly state: 'starting' } & JobRun)
    | ({ readonly state: 'running' } & JobRun)
    | ({ readonly state: 'succeeded'; readonly measured: readonly RankSummary[] } & JobRun & JobEnd)
    | ({ readonly state: 'failed'; readonly error: JobFailure } & Partial<JobRun> & JobEnd)
    | ({ readonly state: 'cancelled' } & Partial<JobRun> & JobEnd)
  );

/** What is known of a job from its submission on. Times are milliseconds since 1970. */
export interface JobFacts {
  readonly id: string;
  readonly job: JobSpec;
  readonly output: JobOutput;
  readonly totals: JobTotals;
  readonly model: ModelFacts;
  readonly createdAt: number;
  /** Why it was taken back into the line, if it was: its next plan counts with that, and nothing takes it back again. */
  readonly replanned?: Replanned;
}

/** A launch that ended because a device took more memory than its plan had counted, and what was measured there. */
export interface Replanned extends Overrun {
  readonly at: number;
  /** Membership epoch of that launch. */
  readonly epoch: number;
  /** What it would have failed with. */
  readonly message: string;
}

/** What an executor took beside what the plan had counted for it. */
export interface Overrun {
  readonly device: string;
  readonly budgetBytes: Bytes;
  readonly measuredBytes: Bytes;
  readonly predictedBytes: Bytes;
  /** The part of `predictedBytes` that an executor takes whatever it runs. */
  readonly runtimeBytes: Bytes;
}

export interface JobOutput {
  readonly directory: string;
  /** Whether `directory` is the submitter's own. */
  readonly delivered: boolean;
}

export interface JobTotals {
  /** Samples of the training data. */
  readonly rows: number;
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
}

/** What the planner needs to know of the model and its data, and what the results need. */
export interface ModelFacts {
  readonly layers: LayerProfile;
  readonly job: JobBytes;
  /** The characters of text data in the order of their ids. */
  readonly vocabulary: readonly string[] | null;
  /** Shapes of one sample; jobs of earlier versions have none. */
  readonly samples?: {
    readonly inputs: readonly { readonly name: string; readonly shape: readonly number[] }[];
    readonly target: readonly number[];
  };
}

export interface JobRun {
  /** Membership epoch. */
  readonly epoch: number;
  readonly plan: Plan;
  readonly launchedAt: number;
  readonly startedAt: number | null;
  readonly progress: Progress;
}

export interface JobEnd {
  readonly endedAt: number;
}

/** The last numbers that rank 0 reported; null where none came yet. */
export interface Progress {
  readonly step: number;
  readonly loss: number | null;
  readonly samplesPerSecond: number | null;
  readonly validationLoss: number | null;
  readonly validationAccuracy: number | null;
}

export const NO_PROGRESS: Progress = {
  step: 0,
  loss: null,
  samplesPerSecond: null,
  validationLoss: null,
  validationAccuracy: null,
};

export interface JobFailure {
  readonly family: string;
  readonly code: string;
  readonly message: string;
  readonly device: string | null;
}

/** What happened to a job, as the log keeps it: plain JSON, never changed once written. `at`: ms since 1970. */
export type JobEvent = { readonly at: number } & (
  | {
      readonly type: 'submitted';
      readonly id: string;
      readonly job: JobSpec;
      readonly output: JobOutput;
      readonly totals: JobTotals;
      readonly model: ModelFacts;
    }
  | { readonly type: 'planned' }
  | { readonly type: 'launched'; readonly epoch: number; readonly plan: Plan }
  | { readonly type: 'started' }
  | { readonly type: 'progressed'; readonly progress: Progress }
  /** The weights after a step: a part of each pipeline rank, in their order. */
  | { readonly type: 'checkpointed'; readonly step: number; readonly parts: readonly Sha256[] }
  /** A device went over its budget: the job is planned again, with what was measured there. */
  | ({ readonly type: 'replanned'; readonly message: string } & Overrun)
  /** `measured`: by rank. */
  | { readonly type: 'succeeded'; readonly progress: Progress; readonly measured: readonly RankSummary[] }
  | { readonly type: 'failed'; readonly error: JobFailure; readonly progress?: Progress }
  | { readonly type: 'cancelled'; readonly progress?: Progress }
);
export type JobEventOf<T extends JobEvent['type']> = Extract<JobEvent, { readonly type: T }>;

/**
 * The job after `event`; pure.
 * @param job undefined before the first event, which is `submitted`
 * @throws IllegalTransitionError for a pair that is not listed above
 */
export function transition(job: TrainingJob | undefined, event: JobEvent): TrainingJob {
  if (!job) {
    if (event.type !== 'submitted') throw new IllegalTransitionError('a job', 'nothing', event.type);
    const { id, output, totals, model, at } = event;
    return { id, job: event.job, output, totals, model, createdAt: at, state: 'queued' };
  }
  switch (event.type) {
    case 'planned':
      if (job.state === 'queued') return { ...job, state: 'planning' };
      break;
    case 'launched':
      if (job.state === 'planning') {
        const { epoch, plan, at } = event;
        return {
          ...job,
          state: 'starting',
          epoch,
          plan,
          launchedAt: at,
          startedAt: null,
          progress: NO_PROGRESS,
        };
      }
      break;
    case 'started':
      if (job.state === 'starting') return { ...job, state: 'running', startedAt: event.at };
      break;
    case 'progressed':
      if (job.state === 'running') return { ...job, progress: event.progress };
      break;
    case 'checkpointed':
      if (job.state === 'running') return job;
      break;
    case 'replanned':
      if ((job.state === 'starting' || job.state === 'running') && !job.replanned) {
        const { id, output, totals, model, createdAt, epoch } = job;
        const { type: _, ...measured } = event;
        return {
          ...{ id, job: job.job, output, totals, model, createdAt },
          state: 'queued',
          replanned: { ...measured, epoch },
        };
      }
      break;
    case 'succeeded':
      if (job.state === 'running') {
        const { progress, measured, at } = event;
        return { ...job, state: 'succeeded', progress, measured, endedAt: at };
      }
      break;
    case 'failed':
      if (!isOver(job)) {
        return { ...job, ...latest(event.progress), state: 'failed', error: event.error, endedAt: event.at };
      }
      break;
    case 'cancelled':
      if (!isOver(job)) return { ...job, ...latest(event.progress), state: 'cancelled', endedAt: event.at };
      break;
    case 'submitted':
      break;
  }
  throw new IllegalTransitionError(`job ${job.id}`, job.state, event.type);
}

/**
 * The job that a log tells of.
 * @throws IllegalTransitionError when the log is not one of a job, an empty one included
 */
export function fold(events: readonly JobEvent[]): TrainingJob {
  const job = events.reduce<TrainingJob | undefined>(transition, undefined);
  if (!job) throw new IllegalTransitionError('a job', 'nothing', 'the end of its log');
  return job;
}

export type OverJob = Extract<TrainingJob, JobEnd>;

export function isOver(job: TrainingJob): job is OverJob {
  const over: Record<Exclude<JobState, 'recovering'>, boolean> = {
    queued: false,
    planning: false,
    starting: false,
    running: false,
    succeeded: true,
    failed: true,
    cancelled: true,
  };
  return over[job.state];
}

/** The part of a job that exists once it was launched. */
export function runOf(job: TrainingJob): JobRun | undefined {
  return 'plan' in job ? (job as TrainingJob & JobRun) : undefined;
}

function latest(progress: Progress | undefined): { readonly progress?: Progress } {
  return progress ? { progress } : {};
}
