import { fromReport, reportOf, type Sha256 } from '../../base/index.js';
import type { ComputeThread } from '../engine/index.js';
import { ArtifactError, StoppedError } from '../errors.js';
import { RankRun, type RankHost } from '../run/index.js';
import type { ExecutorOptions, FromExecutor, RankMessage, RunId, ToExecutor } from '../messages.js';

/** At most so long may leaving a run take before the process gives itself up. */
const LEAVE_SECONDS = 10;

/**
 * Runs one rank at a time on one device. It follows the daemon's messages and reports; what a rank does is
 * in worker/run.
 */
export class Executor implements RankHost {
  private current: { readonly id: RunId; readonly run: RankRun; readonly over: Promise<void> } | undefined;
  private readonly fetches = new Map<
    Sha256,
    { resolve: (path: string) => void; reject: (error: unknown) => void }
  >();

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
        void this.launch(message.run, message.plan);
        return;
      case 'peers':
        if (this.runs(message.run)) this.current!.run.connect(message.endpoints);
        return;
      case 'stop':
        if (this.runs(message.run)) this.current!.run.stop(message.reason);
        else this.send({ kind: 'stopped', run: message.run });
        return;
      case 'fetched':
        this.fetches.get(message.sha256)?.resolve(message.path);
        this.fetches.delete(message.sha256);
        return;
      case 'fetch-failed':
        this.fetches.get(message.sha256)?.reject(fromReport(message.error));
        this.fetches.delete(message.sha256);
        return;
    }
  }

  /** The sign of life, with how far the run has come. */
  beat(): FromExecutor {
    const { id: run = null, run: rank } = this.current ?? {};
    return { kind: 'beat', run, step: rank?.step ?? 0, phase: rank?.phase ?? 'idle' };
  }

  async close(): Promise<void> {
    this.current?.run.stop('the worker is shutting down');
    await this.current?.over;
    await this.thread.close(1);
  }

  /** The path of an artifact on this host. */
  fetch(sha256: Sha256): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.fetches.has(sha256)) reject(new ArtifactError(`artifact ${sha256} is being fetched already`));
      this.fetches.set(sha256, { resolve, reject });
      this.send({ kind: 'fetch', sha256 });
    });
  }

  report(message: RankMessage): void {
    this.send(message);
  }

  private runs(id: RunId): boolean {
    const current = this.current?.id;
    return current?.jobId === id.jobId && current.epoch === id.epoch;
  }

  private async launch(id: RunId, plan: Uint8Array): Promise<void> {
    await this.current?.over; // the coordinator launches only after it was told that the last one is over
    const run = new RankRun(id, this);
    const over = this.follow(id, run, plan);
    this.current = { id, run, over };
    await over;
    if (this.current.run === run) this.current = undefined;
  }

  private async follow(id: RunId, run: RankRun, plan: Uint8Array): Promise<void> {
    try {
      const { summary, weightsPath } = await run.train(plan);
      this.send({ kind: 'finished', run: id, summary, weightsPath });
    } catch (error) {
      if (!(error instanceof StoppedError)) this.send({ kind: 'failed', run: id, error: reportOf(error) });
    }
    // an engine that does not come back cannot be left: the daemon starts another process
    const guard = setTimeout(() => process.exit(1), LEAVE_SECONDS * 1000);
    await run.leave();
    clearTimeout(guard);
    this.fetches.clear();
    this.send({ kind: 'stopped', run: id });
    // without its compute thread this process is of no use: the daemon starts another
    if (this.thread.dead) process.exit(1);
  }
}
