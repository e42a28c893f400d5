import { create } from '@bufbuild/protobuf';
import { rm } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import {
  reportOf,
  systemClock,
  version,
  type Clock,
  type ErrorReport,
  type Logger,
} from '../../base/index.js';
import {
  DeviceSchema,
  HelloSchema,
  type Device,
  type FromWorker,
  type ToWorker,
} from '../../protocol/index.js';
import { resolveDevices, type DeviceSpec, type ResolvedDevice } from '../device/index.js';
import { CoordinatorError, type ExecutorError } from '../errors.js';
import type { FromExecutor, RunId } from '../messages.js';
import { ArtifactCache, hashOfFile } from './artifact-cache.js';
import { ExecutorProcess } from './executor-process.js';
import { Scratch } from './scratch.js';
import { Session } from './session.js';
import { toFromWorker, toExecutor } from './translate.js';

const RETRY_SECONDS = [0.2, 0.5, 1, 2, 5];
/** How long the first attempt to join goes on before the daemon gives up. */
const FIRST_JOIN_SECONDS = 10;
const CLOSE_GRACE_SECONDS = 3;

export interface WorkerOptions {
  /** HOST:PORT of the coordinator's gRPC server. */
  readonly coordinator: string;
  /** The host's name in the cluster; device ids start with it. */
  readonly name: string;
  readonly devices: readonly DeviceSpec[];
  /** Folder for artifacts fetched from the coordinator. */
  readonly cacheDir: string;
  /** Address that ranks listen on for their ring neighbours: 127.0.0.1 when all devices are on this host. */
  readonly listenHost: string;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/**
 * The daemon of a host: starts one executor process a device, joins the coordinator, and passes on what each
 * says. It decides nothing about jobs. After a lost session it stops all runs and joins again; after a lost
 * executor it starts another.
 */
export class WorkerDaemon {
  /** Rejects when the daemon cannot go on: refused by the coordinator, or its devices do not start. */
  readonly done: Promise<void>;
  private finish!: (error?: Error) => void;
  private session: Session | undefined;
  private heartbeat: NodeJS.Timeout | undefined;
  private closed = false;
  private joining: Promise<void> = Promise.resolve();
  private readonly executors = new Map<string, ExecutorProcess>();
  private readonly descriptions = new Map<string, Device>();
  private readonly runs = new Map<string, { run: RunId; step: number; phase: string }>();
  /** Files of a device's rank on their way to the coordinator, in order. */
  private readonly uploads = new Map<string, Promise<void>>();
  private readonly cache: ArtifactCache;
  private readonly scratch = new Scratch();
  private readonly clock: Clock;

  private constructor(
    private readonly options: WorkerOptions,
    private readonly devices: readonly ResolvedDevice[],
  ) {
    this.clock = options.clock ?? systemClock;
    this.cache = new ArtifactCache(join(options.cacheDir, 'artifacts'));
    this.done = new Promise((resolve, reject) => {
      this.finish = (error) => (error ? reject(error) : resolve());
    });
    this.done.catch(() => undefined); // whoever awaits it sees it; nobody has to
  }

  /**
   * Starts the executors, measures the devices and joins.
   * @throws DeviceSpecError, ExecutorError, CoordinatorError; nothing is left running then
   */
  static async start(options: WorkerOptions): Promise<WorkerDaemon> {
    const host = { cores: cpus().length, memoryBytes: totalmem() };
    const daemon = new WorkerDaemon(options, resolveDevices(options.name, options.devices, host));
    try {
      // one after the other: devices that share cores would measure each other
      for (const device of daemon.devices) await daemon.startExecutor(device);
      await daemon.joinOnce(FIRST_JOIN_SECONDS);
    } catch (error) {
      await daemon.close();
      throw error;
    }
    return daemon;
  }

  /** The devices with their measured speed. */
  get joined(): readonly Device[] {
    return [...this.descriptions.values()];
  }

  /** Ends the executors and the session. Nothing of the daemon runs afterwards. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await Promise.all([...this.executors.values()].map((executor) => executor.close(CLOSE_GRACE_SECONDS)));
    await this.joining;
    clearInterval(this.heartbeat);
    this.session?.close();
    this.scratch.remove();
    this.finish();
  }

  private async startExecutor(device: ResolvedDevice): Promise<void> {
    const scratch = this.scratch.renew(this.devices.indexOf(device));
    const { executor, flops } = await ExecutorProcess.start(
      { device, listenHost: this.options.listenHost, scratch },
      {
        message: (message) => this.fromExecutor(device, message),
        lost: (error) => this.executorLost(device, error),
      },
      this.clock,
      this.options.logger,
    );
    this.executors.set(device.id, executor);
    const { id, kind, engine, threads, memoryBytes, speed } = device;
    this.descriptions.set(id, create(DeviceSchema, { id, kind, engine, threads, memoryBytes, flops, speed }));
    if (this.closed) await executor.close(0);
  }

  /** Joins; whoever closes the daemon meanwhile waits for the attempt to end. */
  private joinOnce(giveUpAfterSeconds: number): Promise<void> {
    const joined = this.join(giveUpAfterSeconds);
    this.joining = joined.catch(() => undefined);
    return joined;
  }

  private async join(giveUpAfterSeconds: number): Promise<void> {
    const started = this.clock.monotonic();
    for (let attempt = 0; !this.closed; attempt++) {
      try {
        const hello = create(HelloSchema, {
          version,
          name: this.options.name,
          pid: process.pid,
          devices: this.joined.slice(),
        });
        const session = await Session.open(this.options.coordinator, hello, {
          message: (message) => this.fromCoordinator(message),
          ended: (error) => this.sessionEnded(error),
        });
        this.session = session;
        this.heartbeat = setInterval(() => this.beat(), session.welcome.heartbeatSeconds * 1000);
        this.options.logger.info(
          { coordinator: this.options.coordinator, devices: this.joined.map((d) => d.id) },
          'joined',
        );
        return;
      } catch (error) {
        const final = !(error instanceof CoordinatorError) || !error.retryable;
        // a daemon that lost its session joins again before the coordinator has let go of its name
        const rejoining =
          giveUpAfterSeconds === Infinity && error instanceof CoordinatorError && error.code === 'name_taken';
        if ((final && !rejoining) || this.clock.monotonic() - started > giveUpAfterSeconds) throw error;
        const wait = RETRY_SECONDS[Math.min(attempt, RETRY_SECONDS.length - 1)]!;
        await new Promise((resolve) => setTimeout(resolve, wait * 1000));
      }
    }
  }

  private sessionEnded(error: CoordinatorError): void {
    if (this.closed) return;
    clearInterval(this.heartbeat);
    this.session = undefined;
    this.options.logger.warn({ code: error.code }, error.message);
    for (const [device, { run }] of this.runs) {
      this.executors.get(device)?.send({ kind: 'stop', run, reason: 'the coordinator is gone' });
    }
    this.runs.clear();
    this.joinOnce(Infinity).catch((failure: unknown) => {
      this.finish(
        failure instanceof Error ? failure : new CoordinatorError('coordinator_lost', String(failure)),
      );
    });
  }

  private beat(): void {
    const ranks = [...this.runs.values()].map(({ run, step, phase }) => ({ ...run, step, phase }));
    this.tell(toFromWorker.heartbeat(ranks));
  }

  private tell(message: FromWorker['message']): void {
    if (message.case !== undefined) this.session?.send(message);
  }

  private fromCoordinator(message: ToWorker['message']): void {
    switch (message.case) {
      case 'launch': {
        const { device, plan } = message.value;
        const run = toExecutor.runOf(message.value);
        const executor = this.executors.get(device);
        if (!executor) {
          this.tell(
            toFromWorker.failed(run, device, {
              family: 'peer',
              code: 'no_such_device',
              message: `${device} is not there`,
              ids: { device },
            }),
          );
          return;
        }
        this.runs.set(device, { run, step: 0, phase: 'fetching' });
        executor.send({ kind: 'launch', run, plan });
        return;
      }
      case 'peers':
      case 'stop': {
        for (const [device, { run }] of this.runs) {
          if (run.jobId !== message.value.jobId || run.epoch !== message.value.epoch) continue;
          this.executors
            .get(device)
            ?.send(
              message.case === 'peers'
                ? { kind: 'peers', run, endpoints: message.value.endpoints }
                : { kind: 'stop', run, reason: message.value.reason },
            );
        }
        return;
      }
      case 'welcome':
      case 'refusal':
      case undefined:
        return;
    }
  }

  private fromExecutor(device: ResolvedDevice, message: FromExecutor): void {
    switch (message.kind) {
      case 'probed':
        return;
      case 'beat': {
        const current = this.runs.get(device.id);
        if (current && message.run && sameRun(current.run, message.run)) {
          current.step = message.step;
          current.phase = message.phase;
        }
        return;
      }
      case 'fetch':
        void this.deliver(device, message.sha256);
        return;
      case 'ready':
        this.tell(toFromWorker.ready(message.run, message.endpoint));
        return;
      case 'step':
        this.tell(toFromWorker.step(message.run, message.numbers));
        return;
      case 'log':
        this.tell(toFromWorker.log(message.run, message.level, message.message));
        return;
      case 'checkpoint':
        this.upload(device, message.run, message.path, (sha256) =>
          toFromWorker.checkpoint(message.run, message.step, sha256),
        );
        return;
      case 'finished': {
        const { run, summary, weightsPath } = message;
        if (weightsPath === null) this.tell(toFromWorker.finished(run, summary, ''));
        else this.upload(device, run, weightsPath, (sha256) => toFromWorker.finished(run, summary, sha256));
        return;
      }
      case 'failed':
        this.tell(toFromWorker.failed(message.run, device.id, message.error));
        return;
      case 'stopped':
        void (this.uploads.get(device.id) ?? Promise.resolve()).then(() =>
          this.rankStopped(device, message.run),
        );
        return;
    }
  }

  private async deliver(device: ResolvedDevice, sha256: string): Promise<void> {
    const executor = this.executors.get(device.id);
    try {
      const { session } = this;
      if (!session) throw new CoordinatorError('coordinator_lost', 'the coordinator is gone');
      const path = await this.cache.get(sha256, (hash) => session.artifact(hash));
      executor?.send({ kind: 'fetched', sha256, path });
    } catch (error) {
      executor?.send({ kind: 'fetch-failed', sha256, error: reportOf(error) });
    }
  }

  private rankStopped(device: ResolvedDevice, run: RunId): void {
    this.uploads.delete(device.id);
    this.runs.delete(device.id);
    this.tell(toFromWorker.stopped(run));
  }

  /** Hands over a rank's files one after the other; what the rank says next waits for that. */
  private upload(
    device: ResolvedDevice,
    run: RunId,
    path: string,
    message: (sha256: string) => FromWorker['message'],
  ): void {
    const before = this.uploads.get(device.id) ?? Promise.resolve();
    this.uploads.set(
      device.id,
      before.then(() => this.put(device, run, path, message)),
    );
  }

  /** Hands a file to the coordinator, then tells of it; the file is removed either way. Never rejects. */
  private async put(
    device: ResolvedDevice,
    run: RunId,
    path: string,
    message: (sha256: string) => FromWorker['message'],
  ): Promise<void> {
    try {
      const sha256 = await hashOfFile(path);
      await this.session?.putArtifact(sha256, path);
      this.tell(message(sha256));
    } catch (error) {
      this.tell(toFromWorker.failed(run, device.id, reportOf(error)));
    } finally {
      await rm(path, { force: true });
    }
  }

  private executorLost(device: ResolvedDevice, error: ExecutorError): void {
    if (this.closed) return;
    this.runs.delete(device.id);
    this.uploads.delete(device.id);
    this.executors.delete(device.id);
    const report: ErrorReport = reportOf(error);
    this.options.logger.warn({ device: device.id, code: report.code }, report.message);
    this.tell(toFromWorker.deviceLost(device.id, report));
    this.startExecutor(device).then(
      () => this.tell(toFromWorker.deviceBack(this.descriptions.get(device.id)!)),
      (failure: unknown) => this.options.logger.error({ device: device.id }, reportOf(failure).message),
    );
  }
}

function sameRun(a: RunId, b: RunId): boolean {
  return a.jobId === b.jobId && a.epoch === b.epoch && a.rank === b.rank;
}
