import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Logger, Sha256 } from '../../base/index.js';
import type { JobLogRow, MetricRow, StepReport } from '../../protocol/index.js';
import type { Plan, TraceNames } from '../../scheduler/index.js';
import type { ArtifactStore } from '../artifacts/index.js';
import type { LinkUse, RankSummary } from '../job/index.js';
import { HostError } from '../errors.js';
import { copyWhole, GrowingFile, replace, writeJson } from './files.js';
import { reportOf } from './report.js';
import { rowOf, scalarsOf } from './rows.js';
import { eventFileName, fileVersionRecord, scalarRecord } from './tensorboard/index.js';
import { writeTrace } from './trace.js';

/** Names in an output folder. */
export const OUTPUT = {
  model: 'model.onnx',
  weights: 'weights.safetensors',
  metrics: 'metrics.jsonl',
  plan: 'plan.json',
  report: 'report.json',
  trace: 'trace.json',
  vocabulary: 'vocabulary.json',
  tensorboard: 'tensorboard',
  checkpoints: 'checkpoints',
} as const;

/** Writes the trained weights into the model that was submitted, as `to`. */
export type ModelExport = (paths: {
  readonly model: string;
  readonly weights: string;
  readonly to: string;
}) => Promise<void>;

/** Writes weights that lie in several files into one. */
export type WeightsMerge = (paths: {
  readonly parts: readonly string[];
  readonly to: string;
}) => Promise<void>;

export interface JobResultsOptions {
  readonly job: string;
  readonly directory: string;
  /** Where the job's log of messages goes. */
  readonly logFile: string;
  readonly artifacts: ArtifactStore;
  readonly exportModel: ModelExport;
  readonly mergeWeights: WeightsMerge;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Something was added that readers of the files may want to see. */
  readonly written: () => void;
  /** The results cannot be written; comes once. */
  readonly failed: (error: HostError) => void;
}

/**
 * The files that one run of a job leaves behind.
 *
 * Guarantees: what an earlier run left under the same names is gone before the first is written; rows appear in
 * the order they came; every other file appears whole or not at all; `model.onnx` exists only after success.
 */
export class JobResults {
  private readonly metrics: GrowingFile;
  private readonly events: GrowingFile;
  private readonly log: GrowingFile;
  private copies: Promise<void> = Promise.resolve();

  private constructor(private readonly options: JobResultsOptions) {
    const { directory, clock, job, written, failed } = options;
    const fail = (error: Error) => failed(unwritable(directory, error));
    this.metrics = new GrowingFile(join(directory, OUTPUT.metrics), written, fail);
    this.events = new GrowingFile(
      join(directory, OUTPUT.tensorboard, eventFileName(clock.epochMs(), job)),
      () => undefined,
      fail,
    );
    // a job that is launched again says why: what was said before stays
    this.log = new GrowingFile(options.logFile, written, fail, 'a');
    this.events.append(fileVersionRecord(clock.epochMs()));
  }

  /** @throws HostError `output_unwritable` */
  static async begin(
    options: JobResultsOptions,
    plan: Plan,
    vocabulary: readonly string[] | null,
  ): Promise<JobResults> {
    const { directory } = options;
    try {
      await mkdir(join(directory, OUTPUT.tensorboard), { recursive: true });
      await removeEarlier(directory);
      await writeJson(join(directory, OUTPUT.plan), plan);
      if (vocabulary) await writeJson(join(directory, OUTPUT.vocabulary), vocabulary);
    } catch (error) {
      throw unwritable(directory, error);
    }
    return new JobResults(options);
  }

  step(report: StepReport): MetricRow {
    const row = rowOf(report);
    this.metrics.append(`${JSON.stringify(row)}\n`);
    this.events.append(scalarRecord(this.options.clock.epochMs(), row.step, scalarsOf(row)));
    return row;
  }

  say(row: JobLogRow): void {
    this.log.append(`${JSON.stringify(row)}\n`);
  }

  /** @param parts of the weights, of which each holds others */
  checkpoint(step: number, parts: readonly Sha256[]): void {
    const to = join(this.options.directory, OUTPUT.checkpoints, `step-${step}.safetensors`);
    this.copies = this.copies
      .then(() => this.place(parts, to))
      .catch((error: unknown) => {
        this.options.logger.error({ step, err: error }, 'a checkpoint was not written');
      });
  }

  /**
   * The trained model, its weights and the report.
   * @param parts of the weights, of which each holds others
   * @throws HostError, ModelError, WeightsError
   */
  async succeed(
    plan: Plan,
    model: Sha256,
    parts: readonly Sha256[],
    summaries: readonly RankSummary[],
    links: readonly LinkUse[] = [],
  ): Promise<void> {
    const { directory, artifacts, exportModel, job } = this.options;
    try {
      const weights = join(directory, OUTPUT.weights);
      await this.place(parts, weights);
      await writeJson(join(directory, OUTPUT.report), reportOf(job, plan, summaries, links));
      await replace(join(directory, OUTPUT.model), (to) =>
        exportModel({ model: artifacts.path(model), weights, to }),
      );
    } catch (error) {
      throw isSystemError(error) ? unwritable(directory, error) : error;
    }
  }

  /**
   * What the ranks did and when, in some of their steps; nothing where a rank recorded nothing. What cannot be read is
   * logged: a run has not failed for that.
   * @param records by rank
   */
  async trace(names: TraceNames, records: readonly (Sha256 | undefined)[]): Promise<void> {
    const { directory, artifacts, logger } = this.options;
    const given = records.filter((record) => record !== undefined && record !== '') as readonly Sha256[];
    if (given.length === 0 || given.length < names.ranks.length) return;
    try {
      const files = given.map((record) => artifacts.path(record));
      await writeTrace(join(directory, OUTPUT.trace), names, files);
    } catch (error) {
      logger.warn({ err: error }, 'the trace was not written');
    }
  }

  /** All that was appended is in the files. */
  async close(): Promise<void> {
    await Promise.all([this.metrics.close(), this.events.close(), this.log.close(), this.copies]);
  }

  private place(artifacts: readonly Sha256[], to: string): Promise<void> {
    const parts = artifacts.map((artifact) => this.options.artifacts.path(artifact));
    const [only] = parts;
    if (only !== undefined && parts.length === 1) return copyWhole(only, to);
    return replace(to, (whole) => this.options.mergeWeights({ parts, to: whole }));
  }
}

/** What an earlier run into the same folder left, so that nothing of it is taken for this run's. */
async function removeEarlier(directory: string): Promise<void> {
  // whoever reads the metrics sees another file, and not one that shrank
  const { model, weights, metrics, report, trace, vocabulary } = OUTPUT;
  for (const name of [model, weights, metrics, report, trace, vocabulary]) {
    await rm(join(directory, name), { force: true });
  }
  await removeMatching(join(directory, OUTPUT.tensorboard), /^events\.out\.tfevents\./);
  await removeMatching(join(directory, OUTPUT.checkpoints), /^step-\d+\.safetensors$/);
}

async function removeMatching(folder: string, pattern: RegExp): Promise<void> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch {
    return; // there is no such folder yet
  }
  for (const name of names) if (pattern.test(name)) await rm(join(folder, name), { force: true });
}

function unwritable(directory: string, cause: unknown): HostError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new HostError('output_unwritable', `the results cannot be written to ${directory}: ${reason}`, {
    cause,
    ids: { directory },
  });
}

function isSystemError(error: unknown): error is Error {
  return error instanceof Error && 'syscall' in error;
}
