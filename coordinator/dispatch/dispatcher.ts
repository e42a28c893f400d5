import { join } from 'node:path';
import {
  DtrainError,
  fromReport,
  reportOf,
  type Clock,
  type Logger,
  type Seconds,
} from '../../base/index.js';
import type { JobSpec } from '../../protocol/index.js';
import type { ArtifactStore } from '../artifacts/index.js';
import type { Device, Plan } from '../../scheduler/index.js';
import type {
  JobBoard,
  JobFailure,
  JobLedger,
  ModelFacts,
  Overrun,
  Replanned,
  TrainingJob,
} from '../job/index.js';
import { LaunchRun, type Failure } from '../launch/index.js';
import type { Members, RankMessage, Tenant } from '../membership/index.js';
import { JobResults, type ModelExport, type WeightsMerge } from '../results/index.js';
import { decide, type PlanAnswer } from './decide.js';
import { runPlanOf } from './planning.js';

/**
 * Plans a job on devices.
 * @param about the launch that is to come; none for a plan that somebody only wants to see
 * @throws whatever makePlan throws, as its report; HostError
 */
export type PlanJob = (
  job: JobSpec,
  model: ModelFacts,
  devices: readonly Device[],
  about?: LaunchToCome,
) => Promise<Plan>;

export interface LaunchToCome {
  /** Where that is worth it, the model is timed first. */
  readonly totalSteps: number;
  /** What ended the launch before. */
  readonly overrun: Overrun | undefined;
}

export interface DispatcherOptions {
  readonly board: JobBoard;
  readonly members: Members;
  readonly plan: PlanJob;
  /** Told of every job that is over. */
  readonly learn?: (job: TrainingJob) => void;
  readonly artifacts: ArtifactStore;
  readonly exportModel: ModelExport;
  readonly mergeWeights: WeightsMerge;
  readonly jobsDir: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Of each waiting job, the latest: on the devices that are free, on all that have joined, and some before. */
const KEPT_ANSWERS = 8;

/** The membership epoch of a job's first launch; each later one has the next. */
const FIRST_EPOCH = 1;
/** A job that is planned again waits no longer for its device to come back: as long as an executor may take to start. */
const RETURN_SECONDS: Seconds = 30;

/**
 * The line of jobs that wait for devices, and the runs of those that have some.
 *
 * First come, first served: whenever devices or jobs come or go the line is gone through from its head, and a job
 * that is being planned, or only waits for busy devices, is overtaken by nobody. Jobs are planned elsewhere, one at a
 * time; when the answer comes the line is gone through again, so that what changed meanwhile counts.
 */
export class Dispatcher {
  private readonly line: JobLedger[] = [];
  private readonly runs = new Map<string, LaunchRun>();
  private readonly reasons = new Map<string, string>();
  private readonly answers = new Map<string, readonly PlanAnswer[]>();
  /** Ends the waiting for devices that are on their way back. */
  private readonly patience = new Map<string, () => void>();
  private planning = false;
  private closed = false;

  constructor(private readonly options: DispatcherOptions) {}

  /** Puts a queued job into the line; once, however often it is asked. */
  admit(ledger: JobLedger): void {
    if (this.closed || ledger.job.state !== 'queued' || this.line.includes(ledger)) return;
    this.line.push(ledger);
    // restarts and re-deliveries may bring them in another order than they were submitted in
    this.line.sort((a, b) => a.job.createdAt - b.job.createdAt);
    this.advance();
  }

  /** Why a job waits, for people. */
  whyWaiting(id: string): string | undefined {
    return this.reasons.get(id);
  }

  get running(): number {
    return this.runs.size;
  }

  /** Starts what can start. */
  advance(): void {
    const { members, clock } = this.options;
    let before: string | undefined;
    for (const ledger of this.line.slice()) {
      const { id, state } = ledger.job;
      if (this.closed || state !== 'queued') {
        this.leave(ledger);
        continue;
      }
      if (before !== undefined) {
        this.reasons.set(id, `behind ${before} in the line`);
        continue;
      }
      const devices = {
        all: members.devices(),
        free: members.free(),
        returning: this.returning(ledger.job),
      };
      const decision = decide(devices, this.answers.get(id) ?? []);
      switch (decision.kind) {
        case 'wait':
          this.reasons.set(id, decision.why);
          if (decision.blocks) before = id;
          break;
        case 'plan':
          this.reasons.set(id, `it is being planned for ${decision.devices.length} devices`);
          before = id;
          void this.plan(ledger, decision.devices);
          break;
        case 'refuse': {
          const { replanned } = ledger.job;
          this.leave(ledger);
          ledger.record({ type: 'failed', at: clock.epochMs(), error: refusalOf(decision.error, replanned) });
          break;
        }
        case 'launch':
          this.leave(ledger);
          this.launch(ledger, decision.plan);
      }
    }
  }

  /** Cancels a job that is not over. */
  cancel(ledger: JobLedger): void {
    const run = this.runs.get(ledger.job.id);
    if (run) {
      run.cancel();
      return;
    }
    this.leave(ledger);
    ledger.record({ type: 'cancelled', at: this.options.clock.epochMs() });
    this.advance();
  }

  /** Ends all runs: the coordinator cannot go on with them. */
  abortAll(error: DtrainError): void {
    for (const run of this.runs.values()) run.abort(error);
  }

  abort(id: string, error: unknown): void {
    this.runs.get(id)?.abort(error);
    const waiting = this.line.find((ledger) => ledger.job.id === id);
    if (waiting) this.leave(waiting);
  }

  rank(tenant: Tenant, device: string, message: RankMessage): void {
    this.runs.get(tenant.jobId)?.receive(tenant.rank, device, message);
  }

  /** A heartbeat told how far a rank has come. */
  beat(tenant: Tenant, step: number): void {
    this.runs.get(tenant.jobId)?.beat(tenant.rank, step);
  }

  lost(tenant: Tenant, failure: Failure): void {
    this.runs.get(tenant.jobId)?.lost(tenant.rank, failure);
  }

  /** Starts nothing any more, ends the runs and resolves when each is over. */
  async close(error: DtrainError): Promise<void> {
    this.closed = true;
    this.line.length = 0;
    for (const cancel of this.patience.values()) cancel();
    this.abortAll(error);
    await Promise.all([...this.runs.values()].map((run) => run.over));
  }

  /** A device that went over its budget, as long as another executor is on its way for it. */
  private returning({ replanned }: TrainingJob): string | undefined {
    const { members, clock } = this.options;
    if (!replanned || !members.returning().includes(replanned.device)) return undefined;
    const left = RETURN_SECONDS - (clock.epochMs() - replanned.at) / 1000;
    if (!(left > 0)) return undefined;
    this.patience.get(replanned.device)?.();
    this.patience.set(
      replanned.device,
      clock.after(left, () => this.advance()),
    );
    return replanned.device;
  }

  private leave(ledger: JobLedger): void {
    const at = this.line.indexOf(ledger);
    if (at >= 0) this.line.splice(at, 1);
    this.reasons.delete(ledger.job.id);
    this.answers.delete(ledger.job.id);
  }

  /** Asks for a plan unless one is being made; the answer moves the line on. Never rejects. */
  private async plan(ledger: JobLedger, devices: readonly Device[]): Promise<void> {
    if (this.planning) return;
    this.planning = true;
    const { id, job, model, totals, replanned: overrun } = ledger.job;
    let outcome: PlanAnswer['outcome'];
    try {
      outcome = {
        plan: await this.options.plan(job, model, devices, { totalSteps: totals.totalSteps, overrun }),
      };
    } catch (error) {
      outcome = { error: error instanceof DtrainError ? error : fromReport(reportOf(error)) };
    }
    this.planning = false;
    // of a job that was cancelled meanwhile nothing is kept
    if (this.line.includes(ledger)) {
      const earlier = this.answers.get(id) ?? [];
      this.answers.set(id, [{ devices, outcome }, ...earlier].slice(0, KEPT_ANSWERS));
    }
    this.advance();
  }

  private launch(ledger: JobLedger, plan: Plan): void {
    const { members, clock, logger, board, artifacts, exportModel, mergeWeights, jobsDir } = this.options;
    const { id, model, output, replanned } = ledger.job;
    const epoch = replanned ? replanned.epoch + 1 : FIRST_EPOCH;
    const at = clock.epochMs();
    const hosts = new Map(members.devices().map((device) => [device.id, device.host]));
    const runPlan = runPlanOf(ledger.job, epoch, plan, (device) => hosts.get(device)!);
    ledger.record({ type: 'planned', at }, { type: 'launched', at, epoch, plan });
    const run = new LaunchRun({
      ledger,
      plan,
      runPlan,
      members,
      clock,
      logger: logger.child({ job: id }),
      openResults: (failed) =>
        JobResults.begin(
          {
            job: id,
            directory: output.directory,
            logFile: join(jobsDir, id, 'log.jsonl'),
            artifacts,
            exportModel,
            mergeWeights,
            clock,
            logger,
            written: () => board.touch(id),
            failed,
          },
          plan,
          model.vocabulary,
        ),
    });
    this.runs.set(id, run);
    void run.over.then(() => {
      this.runs.delete(id);
      this.options.learn?.(ledger.job);
      this.admit(ledger); // one that is to be planned again
      this.advance();
    });
    run.start().catch((error: unknown) => run.abort(error));
  }
}

/** Why a job is refused; of one that was to be planned again, for both reasons. */
function refusalOf(error: DtrainError, replanned: Replanned | undefined): JobFailure {
  const { family, code, message } = reportOf(error);
  if (!replanned) return { family, code, message, device: null };
  const both = `${replanned.message}. Planned again with what was measured there: ${message}`;
  return { family, code: family === 'user' ? 'over_budget' : code, message: both, device: replanned.device };
}
