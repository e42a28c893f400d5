import { create } from '@bufbuild/protobuf';
import { reportOf, type Clock, type DtrainError, type Logger, type Sha256 } from '../../base/index.js';
import {
  artifactOf,
  encodeRunPlan,
  LaunchSchema,
  PeersSchema,
  StopSchema,
  type JobLogRow,
  type RankFinished,
  type RunPlan,
  type StepReport,
} from '../../protocol/index.js';
import type { Plan, Topology } from '../../scheduler/index.js';
import { WeightsMissingError } from '../errors.js';
import { correctionsOf, describeLink, linksUsed, NO_PROGRESS, type LinkUse } from '../job/index.js';
import type { JobLedger, Overrun, Progress, RankSummary } from '../job/index.js';
import type { Members, RankMessage } from '../membership/index.js';
import type { JobResults } from '../results/index.js';
import {
  beginLaunch,
  nextLaunch,
  type LaunchCommand,
  type LaunchEvent,
  type LaunchState,
  type LaunchTimer,
  type Verdict,
} from './machine.js';
import { WeightParts } from './parts.js';
import { failureOf, ownFailure } from './failure.js';
import { recordEnd } from './ending.js';
import { overrunOf } from './overrun.js';
import { summaryOf } from './summary.js';
import type { Failure } from './rank.js';

export interface LaunchOptions {
  readonly ledger: JobLedger;
  readonly plan: Plan;
  readonly runPlan: RunPlan;
  readonly members: Members;
  /** Opens the output folder; called once, at the start. */
  readonly openResults: (failed: (error: DtrainError) => void) => Promise<JobResults>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Carries out one launch: feeds the machine with what ranks say and does what it commands. It decides nothing.
 *
 * Holds its devices from the constructor on, until each has stopped. `over` resolves when the job is in a terminal
 * state, or back in the queue because a device went over its budget, all of its devices are released and nothing is
 * written any more.
 */
export class LaunchRun {
  readonly over: Promise<void>;
  private state: LaunchState;
  private results: JobResults | undefined;
  /** As it was known when the run began. */
  private readonly topology: Topology;
  private progress: Progress = NO_PROGRESS;
  private readonly parts: WeightParts;
  private weights: readonly Sha256[] | undefined;
  private readonly summaries: RankSummary[] = [];
  private readonly traces: string[] = [];
  private readonly timers = new Map<LaunchTimer, () => void>();
  private starting: Promise<void> | undefined;
  private ending: Promise<void> | undefined;
  private finish!: () => void;
  /** Why the job goes back into the queue once all ranks have stopped. */
  private overrun: (Overrun & { readonly message: string }) | undefined;
  /** What else was to end the run: while ranks stop it still counts, if the job was to be planned again. */
  private ended: Extract<Verdict, { kind: 'cancelled' | 'failed' }> | undefined;

  constructor(private readonly options: LaunchOptions) {
    const { runPlan, members } = options;
    this.parts = new WeightParts(runPlan.ranks);
    this.topology = members.topology();
    this.over = new Promise((resolve) => (this.finish = resolve));
    const devices = runPlan.ranks.map((rank) => rank.device);
    devices.forEach((device, rank) =>
      members.occupy(device, { jobId: runPlan.jobId, epoch: runPlan.epoch, rank }),
    );
    const { state, commands } = beginLaunch(devices);
    this.state = state;
    this.perform(commands);
  }

  /** Opens the output folder and tells the ranks to begin. Failures become the job's. */
  start(): Promise<void> {
    return (this.starting = this.begin());
  }

  private async begin(): Promise<void> {
    const { openResults, runPlan, members } = this.options;
    let results: JobResults;
    try {
      results = await openResults((error) => this.abort(error));
    } catch (error) {
      this.abort(error);
      return;
    }
    if (this.state.phase !== 'assembling') {
      await results.close(); // ended meanwhile
      return;
    }
    this.results = results;
    const plan = encodeRunPlan(runPlan);
    const { jobId, epoch } = runPlan;
    for (const [rank, { device }] of runPlan.ranks.entries()) {
      members.send(device, {
        case: 'launch',
        value: create(LaunchSchema, { jobId, epoch, rank, device, plan }),
      });
    }
  }

  cancel(): void {
    this.ended ??= { kind: 'cancelled' };
    this.handle({ type: 'cancel' });
  }

  /** Ends the run because the coordinator cannot go on with it. */
  abort(error: unknown): void {
    const failure = ownFailure(error);
    this.ended ??= { kind: 'failed', error: failure };
    this.handle({ type: 'abort', error: failure });
  }

  /** A device of the run is gone. */
  lost(rank: number, error: Failure): void {
    const { ranks } = this.options.runPlan;
    const who = ranks.length === 1 ? '' : ` (rank ${rank} of ${ranks.length})`;
    this.handle({ type: 'lost', rank, error: { ...error, message: `${error.message}${who}` } });
  }

  /** A rank says something. */
  receive(rank: number, device: string, message: RankMessage): void {
    switch (message.case) {
      case 'ready':
        this.handle({ type: 'ready', rank, endpoint: message.value.endpoint });
        return;
      case 'step':
        if (rank === 0) this.step(message.value);
        return;
      case 'checkpoint':
        this.checkpoint(rank, message.value.step, message.value.weightsSha256);
        return;
      case 'finished':
        this.finished(rank, message.value);
        return;
      case 'failed':
        this.handle({ type: 'failed', rank, error: failureOf(message.value, device) });
        return;
      case 'stopped':
        this.handle({ type: 'stopped', rank });
        return;
      case 'log':
        this.say(message.value.level, message.value.message, rank, device);
        return;
    }
  }

  /** Steps between two reports are seen by the heartbeats. */
  beat(rank: number, step: number): void {
    const { ledger, clock } = this.options;
    if (rank !== 0 || step <= this.progress.step || ledger.job.state !== 'running') return;
    this.progress = { ...this.progress, step };
    ledger.observe(this.progress, clock.epochMs());
  }

  private step(report: StepReport): void {
    const { step, validationLoss, validationAccuracy } = report;
    const finite = (value: number | undefined) =>
      value !== undefined && Number.isFinite(value) ? value : null;
    this.progress = {
      step,
      loss: finite(report.loss),
      samplesPerSecond: finite(report.samplesPerSecond),
      validationLoss: finite(validationLoss) ?? this.progress.validationLoss,
      validationAccuracy: finite(validationAccuracy) ?? this.progress.validationAccuracy,
    };
    this.results?.step(report);
    const { ledger, clock } = this.options;
    if (ledger.job.state === 'running') ledger.observe(this.progress, clock.epochMs());
  }

  private checkpoint(rank: number, step: number, sha256: Sha256): void {
    const { ledger, clock } = this.options;
    const parts = this.parts.add(step, rank, sha256);
    if (!parts || ledger.job.state !== 'running') return;
    this.results?.checkpoint(step, parts);
    ledger.record({ type: 'checkpointed', at: clock.epochMs(), step, parts });
  }

  private finished(rank: number, message: RankFinished): void {
    this.summaries[rank] = summaryOf(message);
    this.weights ??= this.parts.add('end', rank, message.weightsSha256);
    this.traces[rank] = message.traceSha256;
    this.handle({ type: 'finished', rank });
  }

  private handle(event: LaunchEvent): void {
    let next;
    try {
      next = nextLaunch(this.state, event);
    } catch (error) {
      // a rank that says what cannot be: its daemon is at fault, the job ends
      next = nextLaunch(this.state, { type: 'abort', error: { ...reportOf(error), device: null } });
    }
    this.state = next.state;
    this.perform(next.commands);
    if (this.state.phase === 'over') this.close();
  }

  private perform(commands: readonly LaunchCommand[]): void {
    const { members, runPlan, clock, ledger } = this.options;
    const { jobId, epoch } = runPlan;
    for (const command of commands) {
      switch (command.type) {
        case 'connect': {
          const { endpoints } = command;
          ledger.record({ type: 'started', at: clock.epochMs() });
          this.toDaemons(
            runPlan.ranks.map((_, rank) => rank),
            (device) =>
              members.send(device, {
                case: 'peers',
                value: create(PeersSchema, { jobId, epoch, endpoints: [...endpoints] }),
              }),
          );
          break;
        }
        case 'stop': {
          const { reason } = command;
          this.toDaemons(command.ranks, (device) =>
            members.send(device, { case: 'stop', value: create(StopSchema, { jobId, epoch, reason }) }),
          );
          break;
        }
        case 'arm':
          this.timers.get(command.timer)?.();
          this.timers.set(
            command.timer,
            clock.after(command.seconds, () => this.handle({ type: 'time_up', timer: command.timer })),
          );
          break;
        case 'settle':
          this.ending = this.settle(command.verdict).catch((error: unknown) => {
            this.options.logger.error({ err: error }, 'the end of a job was not recorded');
          });
          break;
        case 'release':
          members.release(runPlan.ranks[command.rank]!.device, { jobId, epoch });
          break;
      }
    }
  }

  /** A daemon passes a message on to all its ranks of the launch: one for each host is enough. */
  private toDaemons(ranks: readonly number[], send: (device: string) => void): void {
    const hosts = new Set<string>();
    for (const rank of ranks) {
      const { host, device } = this.options.runPlan.ranks[rank]!;
      if (hosts.has(host)) continue;
      hosts.add(host);
      send(device);
    }
  }

  private async settle(verdict: Verdict): Promise<void> {
    const { ledger, plan, runPlan, logger } = this.options;
    let end = verdict;
    if (verdict.kind === 'succeeded') {
      try {
        const model = artifactOf(ledger.job.job.model)!; // checked at submission
        if (!this.weights) throw new WeightsMissingError(this.parts.missing('end'));
        const links = linksUsed(runPlan.ranks, this.topology, this.summaries);
        await this.results!.succeed(plan, model, this.weights, this.summaries, links);
        this.correct(links);
        await this.results!.trace({ title: runPlan.name, ranks: runPlan.ranks }, this.traces);
      } catch (failure) {
        end = { kind: 'failed', error: ownFailure(failure) };
      }
    }
    if (end.kind === 'failed') {
      const { code, device, message } = end.error;
      const overrun = ledger.job.replanned ? undefined : overrunOf(end.error, plan);
      if (overrun) this.overrun = { ...overrun, message };
      const then = overrun ? '; the job is planned again, once, with what was measured' : '';
      this.say('error', message + then);
      logger.warn({ job: ledger.job.id, code, device }, message + then);
    }
    await this.results?.close();
    if (!this.overrun) this.record(end);
  }

  /** Links that were far slower than measured: people are told, and the next plan counts with what was found. */
  private correct(links: readonly LinkUse[]): void {
    for (const { between, link, use } of correctionsOf(links)) {
      this.say('warn', `${describeLink(use)}. The next plan counts with what was measured`);
      this.options.members.correctLink(between, link);
    }
  }

  private record(end: Verdict): void {
    const { ledger, clock } = this.options;
    recordEnd(ledger, clock.epochMs(), end, this.progress, this.summaries);
  }

  /** All ranks have stopped: back into the queue, unless somebody ended the job meanwhile. */
  private takeBack(overrun: Overrun & { readonly message: string }): void {
    const { ledger, clock } = this.options;
    if (this.ended) this.record(this.ended);
    else ledger.record({ type: 'replanned', at: clock.epochMs(), ...overrun });
  }

  private say(
    level: string,
    message: string,
    rank: number | null = null,
    device: string | null = null,
  ): void {
    const row: JobLogRow = {
      at: new Date(this.options.clock.epochMs()).toISOString(),
      device,
      rank,
      level,
      message,
    };
    this.results?.say(row);
  }

  private close(): void {
    for (const cancel of this.timers.values()) cancel();
    this.timers.clear();
    // an output folder that is still being opened is closed first
    void Promise.allSettled([this.starting, this.ending])
      .then(() => {
        if (this.overrun) this.takeBack(this.overrun);
      })
      .catch((error: unknown) => {
        this.options.logger.error({ err: error }, 'a job was not taken back into the queue');
      })
      .then(this.finish);
  }
}
