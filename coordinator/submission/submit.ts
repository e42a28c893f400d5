import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DtrainError, randomId, sha256, type Clock } from '../../base/index.js';
import { filesOf } from '../../data/index.js';
import {
  artifactOf,
  asksForMore,
  weightsPlace,
  weightsRules,
  type JobSpec,
  type Submission,
} from '../../protocol/index.js';
import type { Plan } from '../../scheduler/index.js';
import type { ArtifactStore } from '../artifacts/index.js';
import { totalsOf, type PlanJob } from '../dispatch/index.js';
import { ArtifactMissingError, RequestError } from '../errors.js';
import type { JobEventOf, JobStore, SubmissionKeys } from '../job/index.js';
import type { Members } from '../membership/index.js';
import type { Inspection, Preparation } from '../prepare/index.js';
import { claimHolds, removeClaim } from '../results/index.js';

export interface SubmitterOptions {
  readonly store: JobStore;
  readonly artifacts: ArtifactStore;
  readonly preparation: Preparation;
  readonly plan: PlanJob;
  readonly members: Members;
  /** Where jobs without an output folder of the submitter's put their results. */
  readonly jobsDir: string;
  readonly clock: Clock;
}

export interface Submitted {
  readonly id: string;
  /** The first event of a new job; undefined where the Idempotency-Key names an earlier one. */
  readonly first?: JobEventOf<'submitted'>;
}

/**
 * Takes a submission, or says at once why not; nothing is left behind then.
 *
 * In this order: the key or an identical job that is not over; files not uploaded; the model, the data and whether
 * they go together; whether it fits the devices that have joined (where more might do, the job waits for them).
 * @throws IdempotencyConflictError, DuplicateSubmissionError, ArtifactMissingError, UnsupportedJobError, whatever
 *   `inspectJob` and `makePlan` find, RedisUnavailableError
 */
export async function submit(
  { job, outputClaim }: Submission,
  idempotencyKey: string | undefined,
  options: SubmitterOptions,
): Promise<Submitted> {
  const { store, plan, members, jobsDir, clock } = options;
  const keys = keysOf(job, outputClaim?.directory ?? '', idempotencyKey);
  const known = await store.find(keys);
  if (known !== undefined) return { id: known };

  const { rows, model } = await inspected(job, options);
  const devices = members.devices();
  if (devices.length > 0) await planOrWait(() => plan(job, model, devices));

  const id = randomId('job');
  const delivered = outputClaim !== undefined && (await claimHolds(outputClaim));
  const own = join(jobsDir, id);
  const output = delivered
    ? { directory: outputClaim.directory, delivered }
    : { directory: join(own, 'output'), delivered };
  const first: JobEventOf<'submitted'> = {
    type: 'submitted',
    at: clock.epochMs(),
    id,
    job,
    output,
    totals: totalsOf(job, rows),
    model,
  };
  const created = await store.create(first, keys);
  if (!created.created) return { id: created.id };
  await mkdir(own, { recursive: true });
  if (delivered) await removeClaim(outputClaim);
  return { id, first };
}

/**
 * What the job would be launched with if all devices that have joined were free; nothing is queued.
 * @throws as `submit` where the job, its model or its data are wrong, and whatever `makePlan` finds
 */
export async function planSubmission({ job }: Submission, options: SubmitterOptions): Promise<Plan> {
  const { model } = await inspected(job, options);
  return options.plan(job, model, options.members.devices());
}

async function inspected(
  job: JobSpec,
  { artifacts, preparation }: Pick<SubmitterOptions, 'artifacts' | 'preparation'>,
): Promise<Inspection> {
  totalsOf(job, 1);
  return preparation.inspect(job, await artifactPaths(job, artifacts));
}

/** @throws what the planner finds, unless more devices than have joined could help */
async function planOrWait(plan: () => Promise<unknown>): Promise<void> {
  try {
    await plan();
  } catch (error) {
    if (!(error instanceof DtrainError && asksForMore(error))) throw error;
  }
}

/** @throws RequestError `bad_idempotency_key` */
function keysOf(job: JobSpec, directory: string, idempotencyKey: string | undefined): SubmissionKeys {
  const same = sha256(canonical([job, directory]));
  if (idempotencyKey === undefined) return { same };
  if (idempotencyKey.length === 0 || idempotencyKey.length > 255) {
    throw new RequestError(
      'bad_idempotency_key',
      `Idempotency-Key: 1 to 255 characters, found ${idempotencyKey.length}`,
    );
  }
  return { same, idempotency: { key: sha256(idempotencyKey), body: same } };
}

/** JSON with the keys of objects in order, so that equal values have equal texts. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

/** @throws ArtifactMissingError, RequestError `bad_reference` */
async function artifactPaths(job: JobSpec, artifacts: ArtifactStore): Promise<ReadonlyMap<string, string>> {
  const { train, validation } = job.data;
  if (job.operators !== undefined) {
    throw new RequestError(
      'bad_reference',
      'operators: no code of a user runs here; write the definitions into the model (dtrain submit does so)',
      { field: 'operators' },
    );
  }
  const fields = [
    { field: 'model', file: job.model },
    ...(job.weights === undefined
      ? []
      : [{ field: weightsPlace(job.weights), file: weightsRules(job.weights).file }]),
    ...filesOf(train).map(({ field, file }) => ({ field: `data.train.${field}`, file })),
    ...(validation
      ? filesOf(validation).map(({ field, file }) => ({ field: `data.validation.${field}`, file }))
      : []),
  ];
  const paths = new Map<string, string>();
  const missing: { field: string; sha256: string }[] = [];
  for (const { field, file } of fields) {
    const hash = artifactOf(file);
    if (hash === undefined) {
      throw new RequestError(
        'bad_reference',
        `${field}: "${file}" does not name an artifact; upload the file and write sha256:HEX ` +
          '(dtrain submit does both)',
        { field },
      );
    }
    if ((await artifacts.size(hash)) === undefined) missing.push({ field, sha256: hash });
    else paths.set(hash, artifacts.path(hash));
  }
  if (missing.length > 0) throw new ArtifactMissingError(missing);
  return paths;
}
