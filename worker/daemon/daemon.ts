import { create } from '@bufbuild/protobuf';
import { join } from 'node:path';
import {
  reportOf,
  systemClock,
  version,
  type Clock,
  type DtrainError,
  type Logger,
  type Seconds,
} from '../../base/index.js';
import { HelloSchema, type Device, type FromWorker, type Hello } from '../../protocol/index.js';
import {
  DeviceLock,
  discover,
  hostResources,
  resolveDevices,
  type DeviceSpec,
  type ResolvedDevice,
} from '../device/index.js';
import { ExecutorError, NoDeviceError, StoppedError, type CoordinatorError } from '../errors.js';
import { ArtifactCache } from './artifact-cache.js';
import { Membership } from './membership.js';
import { Orders } from './orders.js';
import type { Post } from './post.js';
import { Reports } from './reports.js';
import { Scratch } from './scratch.js';
import { Supervisor } from './supervisor.js';
import { toFromWorker } from './translate.js';
import { Uploads } from './uploads.js';

/** How long the first attempt to join goes on before the daemon gives up. */
const FIRST_JOIN_SECONDS: Seconds = 10;
const CLOSE_GRACE_SECONDS: Seconds = 3;

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
  /** Ends `start` at once when it is aborted; later `close` does that. */
  readonly signal?: AbortSignal;
}

/**
 * The daemon of a host: keeps one executor a device and a place in the coordinator's cluster, and passes on what
 * each says to the other. It decides nothing about jobs. When the session is lost it stops all runs.
 */
export class WorkerDaemon {
  /** Rejects when the daemon cannot go on: it was refused by the coordinator that it joins again. */
  readonly done: Promise<void>;
  private finish!: (error?: Error) => void;
  private closing: Promise<void> | undefined;
  private readonly posts: Map<string, Post>;
  private readonly locks = new Map<string, DeviceLock>();
  /** Devices that were asked for and do not work, with the reason. */
  readonly skipped: { readonly device: string; readonly reason: string }[] = [];
  private readonly membership: Membership;
  private readonly reports: Reports;
  private readonly scratch: Scratch;

  private constructor(
    private readonly options: WorkerOptions,
    devices: readonly ResolvedDevice[],
  ) {
    const { coordinator, cacheDir, listenHost, logger, clock = systemClock } = options;
    this.scratch = new Scratch();
    this.done = new Promise((resolve, reject) => {
      this.finish = (error) => (error ? reject(error) : resolve());
    });
    this.done.catch(() => undefined); // whoever awaits it sees it; nobody has to
    this.posts = new Map(
      devices.map((device, index) => {
        const scratch = () => this.scratch.renew(index);
        const supervisor = new Supervisor(
          { device, listenHost, clock, logger, scratch },
          {
            message: (message) => this.reports.receive(device.id, message),
            lost: (error) => this.executorLost(device.id, error),
            back: () => this.tell(toFromWorker.deviceBack(supervisor.description)),
          },
        );
        const uploads = new Uploads(() => this.membership.session);
        return [device.id, { supervisor, uploads, run: undefined }];
      }),
    );
    const tell = this.tell.bind(this);
    const cache = new ArtifactCache(join(cacheDir, 'artifacts'));
    this.reports = new Reports(this.posts, cache, () => this.membership.session, tell);
    const orders = new Orders(this.posts, tell);
    this.membership = new Membership(
      { coordinator, clock, logger, hello: () => this.hello(), heartbeat: () => this.heartbeat() },
      {
        message: (message) => orders.receive(message),
        joined: () => this.joinedAgain(),
        lost: (error) => this.sessionLost(error),
        refused: (error) => this.finish(error),
      },
    );
  }

  /**
   * Looks for the devices, starts the executors, tries and measures the devices, and joins with those that work.
   * @throws DeviceSpecError, DeviceTakenError, NoDeviceError where none works, CoordinatorError, StoppedError; nothing is
   *   left running then
   */
  static async start(options: WorkerOptions): Promise<WorkerDaemon> {
    const { signal, name, devices: specs } = options;
    const inventory = await discover(new Set(specs.map(({ kind }) => kind)), signal);
    if (signal?.aborted) throw new StoppedError('the worker is closing');
    const daemon = new WorkerDaemon(options, resolveDevices(name, specs, hostResources(), inventory));
    const abort = () => void daemon.close();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      if (signal?.aborted) throw new StoppedError('the worker is closing');
      // one after the other: devices that share cores would measure each other
      for (const { supervisor } of [...daemon.posts.values()]) await daemon.tryDevice(supervisor);
      if (daemon.posts.size === 0) throw new NoDeviceError(daemon.skipped.map(({ reason }) => reason));
      await daemon.membership.join(FIRST_JOIN_SECONDS);
    } catch (error) {
      await daemon.close();
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
    return daemon;
  }

  /** Starts a device's executor; one that does not work is left out, and that is said. */
  private async tryDevice(supervisor: Supervisor): Promise<void> {
    const { id, exclusive } = supervisor.device;
    if (exclusive !== undefined) {
      this.locks.set(id, DeviceLock.take(exclusive, id, `worker "${this.options.name}"`));
    }
    try {
      await supervisor.start();
    } catch (error) {
      if (!(error instanceof ExecutorError)) throw error;
      this.options.logger.info({ device: id, code: error.code }, `${error.message}; it does not join`);
      this.skipped.push({ device: id, reason: error.message });
      this.posts.delete(id);
      this.locks.get(id)?.release();
    }
  }

  /** The devices with their measured speed. */
  get joined(): readonly Device[] {
    return [...this.posts.values()].map(({ supervisor }) => supervisor.description);
  }

  /** Ends the executors and the session. Nothing of the daemon runs afterwards. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    // the session first: other ranks of a run would else complain before the coordinator knows why
    const supervisors = [...this.posts.values()].map((post) => post.supervisor);
    await Promise.all([
      this.membership.close(),
      ...supervisors.map((supervisor) => supervisor.close(CLOSE_GRACE_SECONDS)),
    ]);
    this.scratch.remove();
    for (const lock of this.locks.values()) lock.release();
    this.finish();
  }

  private hello(): Hello {
    const { name } = this.options;
    return create(HelloSchema, { version, name, pid: process.pid, devices: this.joined.slice() });
  }

  private heartbeat(): NonNullable<FromWorker['message']> {
    const runs = [...this.posts.values()].flatMap(({ run }) => (run ? [run] : []));
    return toFromWorker.heartbeat(runs.map(({ id, step, phase }) => ({ ...id, step, phase })));
  }

  private tell(message: FromWorker['message']): void {
    if (message.case !== undefined) this.membership.send(message);
  }

  private joinedAgain(): void {
    const { coordinator, logger } = this.options;
    logger.info({ coordinator, devices: [...this.posts.keys()] }, 'joined');
    // the hello names all devices; some may have no executor just now
    for (const [device, { supervisor }] of this.posts) {
      if (supervisor.running) continue;
      const message = `${device}: its executor is being started anew`;
      const report = { family: 'peer', code: 'executor_died', message, ids: { device } } as const;
      this.tell(toFromWorker.deviceLost(device, report));
    }
  }

  private sessionLost(error: CoordinatorError): void {
    this.options.logger.warn({ code: error.code }, error.message);
    for (const post of this.posts.values()) {
      if (!post.run) continue;
      post.supervisor.send({ kind: 'stop', run: post.run.id, reason: 'the coordinator is gone' });
      post.run = undefined;
    }
  }

  private executorLost(device: string, error: DtrainError): void {
    if (this.closing) return;
    const report = reportOf(error);
    const post = this.posts.get(device)!;
    // before the device is told lost: that has no numbers, and would be taken for the reason
    const ofMemory = report.code === 'over_budget' || report.code === 'host_memory';
    if (ofMemory && post.run && !post.run.failed) this.tell(toFromWorker.failed(post.run.id, device, report));
    post.run = undefined;
    this.options.logger.warn({ device, code: report.code }, `${report.message}; starting another`);
    this.tell(toFromWorker.deviceLost(device, report));
  }
}
