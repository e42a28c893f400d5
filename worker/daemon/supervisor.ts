import { create } from '@bufbuild/protobuf';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  InvariantError,
  reportOf,
  type Clock,
  type DtrainError,
  type Logger,
  type Seconds,
} from '../../base/index.js';
import { DeviceSchema, type Device } from '../../protocol/index.js';
import type { ResolvedDevice } from '../device/index.js';
import { engineNamed, operatorsOf } from '../engine/index.js';
import { StoppedError } from '../errors.js';
import type { FromExecutor, ToExecutor } from '../messages.js';
import { ExecutorProcess } from './executor-process.js';

/** Waits before attempts to start an executor anew: the first at once, for most devices are well. */
const RESTART_SECONDS: readonly Seconds[] = [0, 1, 5, 15, 60];

export interface SupervisorOptions {
  readonly device: ResolvedDevice;
  readonly listenHost: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** An empty folder for the executor to come. */
  scratch(): string;
}

export interface SupervisorEvents {
  message(message: FromExecutor): void;
  /** The executor is gone; another will be started, however often that takes. */
  lost(error: DtrainError): void;
  /** Another executor has taken its place. */
  back(): void;
}

/** Keeps one executor running for a device. */
export class Supervisor {
  private executor: ExecutorProcess | undefined;
  private measured: Device | undefined;
  private restarting: Promise<void> = Promise.resolve();
  private readonly closing = new AbortController();

  constructor(
    private readonly options: SupervisorOptions,
    private readonly events: SupervisorEvents,
  ) {}

  get device(): ResolvedDevice {
    return this.options.device;
  }

  /** Whether the device can take a run now. */
  get running(): boolean {
    return this.executor !== undefined;
  }

  /** The device with the rates that its latest executor measured. */
  get description(): Device {
    if (!this.measured) throw new InvariantError(`${this.device.id} was not measured yet`);
    return this.measured;
  }

  /** Starts the first executor. @throws ExecutorError; StoppedError when closed meanwhile. Nothing runs then */
  async start(): Promise<void> {
    await this.spawn();
  }

  /** Says something to the executor; dropped while there is none. */
  send(message: ToExecutor): void {
    this.executor?.send(message);
  }

  /** Ends the executor, or the attempt to start one. Nothing runs afterwards. */
  async close(graceSeconds: Seconds): Promise<void> {
    this.closing.abort();
    await Promise.all([this.executor?.close(graceSeconds), this.restarting]);
    this.executor = undefined;
  }

  private async spawn(): Promise<void> {
    const { device, listenHost, clock, logger } = this.options;
    const { signal } = this.closing;
    const options = { device, listenHost, scratch: this.options.scratch() };
    const { executor, rates } = await ExecutorProcess.start(options, clock, logger, signal);
    const { id, kind, engine, threads, memoryBytes, speed, description, ownMemory } = device;
    const runnable = operatorsOf(engineNamed(engine), kind);
    this.measured = create(DeviceSchema, {
      ...{ id, kind, engine, threads, memoryBytes, speed, description, ownMemory, ...rates },
      operators: runnable === 'all' ? [] : [...runnable],
      maxBufferBytes: device.maxBufferBytes ?? 0,
    });
    this.executor = executor;
    executor.listen({
      message: (message) => this.events.message(message),
      lost: (error) => {
        this.executor = undefined;
        this.events.lost(error);
        this.restarting = this.restart(executor);
      },
    });
  }

  private async restart(last: ExecutorProcess): Promise<void> {
    const { device, logger } = this.options;
    const { signal } = this.closing;
    await last.close(0); // it may still be dying: its memory and its folder are the next one's
    for (let attempt = 0; !signal.aborted; attempt++) {
      const seconds = RESTART_SECONDS[Math.min(attempt, RESTART_SECONDS.length - 1)]!;
      try {
        await sleep(seconds * 1000, undefined, { signal });
        await this.spawn();
        if (this.running) this.events.back();
        return;
      } catch (error) {
        if (error instanceof StoppedError || (error as Error).name === 'AbortError') return; // closed
        const { code, message } = reportOf(error);
        logger.error({ device: device.id, code }, `${message}; trying again`);
      }
    }
  }
}
