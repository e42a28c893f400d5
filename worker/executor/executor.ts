import {
  DtrainError,
  fromReport,
  reportOf,
  type Bytes,
  type Seconds,
  type Sha256,
} from '../../base/index.js';
import type { ComputeThread } from '../engine/index.js';
import { OverBudgetError, StoppedError } from '../errors.js';
import { listenForProbe, measureLink } from '../link/index.js';
import { RUNTIME_BYTES } from '../../scheduler/index.js';
import { collectGarbage, judge, residentBytes } from '../memory/index.js';
import { ProfileRun } from '../profile/index.js';
import { RankRun, type RankHost } from '../run/index.js';
import type { ExecutorOptions, FromExecutor, RankMessage, RunId, ToExecutor } from '../messages.js';

/**
 * How long a run may take to end once it was told to: a step inside the engine cannot be cut short. Less than the
 * coordinator waits before it counts the device as free (STOP_SECONDS).
 */
const LEAVE_SECONDS: Seconds = 8;

/** A process that has measured its device, and no more, grows by so much when it has run something once. */
const IDLE_GROWTH = 1.25;

interface Fetch {
  readonly path: Promise<string>;
  readonly resolve: (path: string) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Runs one rank at a time on one device. It follows the daemon's messages and reports; what a rank does is
 * in worker/run.
 */
export class Executor implements RankHost {
  private current: { readonly id: RunId; readonly run: RankRun; readonly over: Promise<void> } | undefined;
  /** Launched while the last run was still leaving: the coordinator counts a rank that has finished as gone. */
  private next: { readonly id: RunId; readonly plan: Uint8Array } | undefined;
  private profiling: ProfileRun | undefined;
  private readonly fetches = new Map<Sha256, Fetch>();
  private impatience: NodeJS.Timeout | undefined;
  /** Whether the last look found the process over its budget. */
  private wasOver = false;
  /** Why the current run is being ended, if it took too much. */
  private overrun: OverBudgetError | undefined;
  private closing = false;

  /** Of a process that holds nothing but its engine and its driver. */
  private readonly idleBytes = Math.max(RUNTIME_BYTES, IDLE_GROWTH * residentBytes()!);

  readonly device: ExecutorOptions['device'];
  readonly listenHost: string;
  readonly scratch: string;

  constructor(
    options: ExecutorOptions,
    readonly thread: ComputeThread,
    private readonly send: (message: FromExecutor) => void,
  ) {
    this.device = options.device;
    this.listenHost = options.listenHost;
    this.scratch = options.scratch;
  }

  receive(message: Exclude<ToExecutor, { kind: 'shutdown' }>): void {
    switch (message.kind) {
      case 'launch':
        this.launch(message.run, message.plan);
        return;
      case 'peers':
        if (isOf(this.current?.id, message.run)) this.current!.run.connect(message.endpoints);
        return;
      case 'stop':
        this.stop(message.run, message.reason);
        return;
      case 'fetched':
        this.fetches.get(message.sha256)?.resolve(message.path);
        this.fetches.delete(message.sha256);
        return;
      case 'fetch-failed':
        this.fetches.get(message.sha256)?.reject(fromReport(message.error));
        this.fetches.delete(message.sha256);
        return;
      case 'listen-for-probe':
        void this.probe(message.probe, () => this.listen(message.probe));
        return;
      case 'measure-link':
        void this.probe(message.probe, () => this.measure(message.probe, message.endpoint));
        return;
      case 'profile':
        void this.profile(message.profile, message.task);
        return;
    }
  }

  /** Gives a sign of life, with how far the run has come. */
  beat(): void {
    if (this.thread.dead && !this.current && !this.closing) {
      this.giveUp('its compute thread has ended');
      return;
    }
    this.watchMemory();
    const { id: run = null, run: rank } = this.current ?? {};
    this.send({ kind: 'beat', run, step: rank?.step ?? 0, phase: rank?.phase ?? 'idle' });
  }

  /** Ends a run that takes more than the device's budget. */
  private watchMemory(): void {
    if (!this.current) return;
    const { run } = this.current;
    const resident = residentBytes()!;
    const verdict = judge(resident, this.device.hostBytes);
    const wasOver = this.wasOver;
    this.wasOver = verdict !== 'fine';
    if (verdict === 'exit') {
      this.overrun ??= this.overBudget(resident, run);
      this.giveUp(this.overrun.message, this.overrun);
      return;
    }
    if (verdict === 'fine' || this.overrun) return;
    if (!wasOver) {
      globalThis.gc?.(); // garbage is no reason to end a run: the next look decides
      return;
    }
    this.overrun = this.overBudget(resident, run);
    this.hurry();
    run.fail(this.overrun);
  }

  private overBudget(measuredBytes: Bytes, { predictedBytes, held }: RankRun): OverBudgetError {
    const { id: device, hostBytes: budgetBytes, ownMemory: ofHost } = this.device;
    return new OverBudgetError({ device, budgetBytes, ofHost, measuredBytes, predictedBytes, held });
  }

  /**
   * Whether the process has come back from a run that took too much: what the next one is given counts from an
   * executor that holds nothing. An allocator keeps pieces that it cannot give back.
   */
  private recovered(): boolean {
    const resident = residentBytes()!;
    return resident <= this.idleBytes && judge(resident, this.device.hostBytes) === 'fine';
  }

  /** What a run has left is garbage in the heaps of both threads: large buffers among it, until it is collected. */
  private async giveBack(): Promise<void> {
    await collectGarbage();
    if (!this.thread.dead) await this.thread.collectGarbage().catch(() => undefined); // it died meanwhile
  }

  async close(): Promise<void> {
    this.closing = true;
    this.next = undefined;
    this.profiling?.stop();
    this.current?.run.stop('the worker is shutting down');
    await this.current?.over;
    await this.thread.close(1);
  }

  /** The path of an artifact on this host. @throws DtrainError what the daemon met when it fetched it */
  fetch(sha256: Sha256): Promise<string> {
    let fetch = this.fetches.get(sha256);
    if (!fetch) {
      fetch = pendingFetch();
      this.fetches.set(sha256, fetch);
      this.send({ kind: 'fetch', sha256 });
    }
    return fetch.path;
  }

  report(message: RankMessage): void {
    this.send(message);
  }

  private async listen(probe: string): Promise<void> {
    const { endpoint, over } = await listenForProbe(probe, this.listenHost);
    this.send({ kind: 'probe-listening', probe, endpoint });
    await over;
  }

  private async measure(probe: string, endpoint: string): Promise<void> {
    const link = await measureLink(probe, this.listenHost, endpoint);
    this.send({ kind: 'link-measured', probe, link });
  }

  /** Never rejects: a probe that fails changes nothing here. */
  private async probe(probe: string, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.send({ kind: 'probe-failed', probe, message: reportOf(error).message });
    }
  }

  /** Never rejects: a profile that fails changes nothing here. */
  private async profile(profile: string, task: Uint8Array): Promise<void> {
    try {
      if (this.current || this.profiling) throw new StoppedError(`${this.device.id} is at work`);
      this.profiling = new ProfileRun(this);
      const result = await this.profiling.run(task).finally(() => (this.profiling = undefined));
      this.send({ kind: 'profiled', profile, result });
    } catch (error) {
      this.send({ kind: 'profile-failed', profile, message: reportOf(error).message });
    }
  }

  private launch(id: RunId, plan: Uint8Array): void {
    if (this.closing) return;
    if (this.current) {
      if (this.next) this.send({ kind: 'stopped', run: this.next.id });
      this.next = { id, plan };
      return;
    }
    this.profiling?.stop();
    const run = new RankRun(id, this);
    this.current = { id, run, over: this.follow(id, run, plan) };
    this.beat();
  }

  private stop(id: RunId, reason: string): void {
    if (isOf(this.current?.id, id)) {
      this.hurry();
      this.current!.run.stop(reason);
      return;
    }
    if (isOf(this.next?.id, id)) this.next = undefined;
    this.send({ kind: 'stopped', run: id });
  }

  /** From the launch to the last trace of the run. Never rejects. */
  private async follow(id: RunId, run: RankRun, plan: Uint8Array): Promise<void> {
    let overrun: OverBudgetError | undefined;
    let lost: DtrainError | undefined;
    try {
      const { summary, weightsPath, tracePath } = await run.train(plan);
      this.send({ kind: 'finished', run: id, summary, weightsPath, tracePath });
    } catch (error) {
      if (error instanceof OverBudgetError) overrun = error;
      if (error instanceof DtrainError && error.code === 'device_lost') lost = error;
      if (!(error instanceof StoppedError)) this.send({ kind: 'failed', run: id, error: reportOf(error) });
    }
    this.hurry();
    await run.leave();
    await this.giveBack();
    clearTimeout(this.impatience);
    this.impatience = undefined;
    if (lost) {
      // without `stopped`, which would free the device: only a new process has it again
      this.giveUp(`${this.device.id}: ${lost.message}`);
      return;
    }
    if (overrun && !this.recovered()) {
      // likewise without `stopped`
      this.giveUp(`${overrun.message}; what it took did not come back`, overrun);
      return;
    }
    this.overrun = undefined;
    this.wasOver = false;
    this.current = undefined;
    // without its compute thread the process goes, and the daemon tells that; `stopped` would free the device
    if (!this.thread.dead) this.send({ kind: 'stopped', run: id });
    this.beat();
    const { next } = this;
    this.next = undefined;
    if (next) this.launch(next.id, next.plan);
  }

  /** The run has to end soon now: an engine that does not come back holds its device for ever. */
  private hurry(): void {
    this.impatience ??= setTimeout(() => {
      const { id, run } = this.current!;
      this.giveUp(
        `the run of ${id.jobId} did not end within ${LEAVE_SECONDS} s (it was ${run.phase})`,
        this.overrun,
      );
    }, LEAVE_SECONDS * 1000);
  }

  /**
   * The daemon ends this process and starts another: while the engine computes, it could not end itself.
   * @param error what the run fails with where it has not failed yet
   */
  private giveUp(reason: string, error?: OverBudgetError): void {
    this.send({ kind: 'giving-up', reason, ...(error && { error: reportOf(error) }) });
  }
}

/** Whether two names are of one run; a device has one rank of a run at most. */
function isOf(id: RunId | undefined, other: RunId): boolean {
  return id?.jobId === other.jobId && id.epoch === other.epoch;
}

function pendingFetch(): Fetch {
  let resolve!: (path: string) => void;
  let reject!: (error: unknown) => void;
  const path = new Promise<string>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  path.catch(() => undefined); // a run that was stopped does not wait for it any more
  return { path, resolve, reject };
}
