import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { withDeadline, type Clock, type Logger } from '../../base/index.js';
import type { ResolvedDevice } from '../device/index.js';
import { ExecutorError } from '../errors.js';
import {
  STALL_SECONDS,
  type ExecutorOptions,
  type FromExecutor,
  type Phase,
  type ToExecutor,
} from '../messages.js';

const ENTRY = fileURLToPath(new URL('../executor/main.js', import.meta.url));
const START_SECONDS = 30;
/** Outside training an executor may be busy for long in one go: reading a model, inflating data. */
const PATIENT_STALL_SECONDS = 60;

export interface ExecutorEvents {
  message(message: FromExecutor): void;
  /** The process is gone or was killed because it stood still. Comes once. */
  lost(error: ExecutorError): void;
}

/**
 * The process of one device, as its daemon sees it. It is killed when it stops beating: a process that was
 * stopped, or whose event loop is blocked, would hold up its ring for ever.
 */
export class ExecutorProcess {
  private lastBeat: number;
  private phase: Phase = 'idle';
  private gone = false;
  private closing = false;
  private readonly exited: Promise<void>;

  private constructor(
    readonly device: ResolvedDevice,
    private readonly child: ChildProcess,
    private readonly events: ExecutorEvents,
    private readonly clock: Clock,
  ) {
    this.lastBeat = clock.monotonic();
    child.on('message', (message) => this.receive(message as FromExecutor));
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        const how = signal ? `was ended by ${signal}` : `exited with ${code ?? 'no code'}`;
        this.lose(
          new ExecutorError(
            'executor_died',
            device.id,
            `the executor process ${how} (pid ${child.pid ?? 0})`,
          ),
        );
        resolve();
      });
      child.once('error', (cause) => {
        this.lose(
          new ExecutorError(
            'executor_died',
            device.id,
            `the executor process failed: ${cause.message}`,
            cause,
          ),
        );
        resolve();
      });
    });
    this.watch();
  }

  /**
   * Starts the process and waits until it has measured its device.
   * @returns the process and the measured rate in FLOP/s
   * @throws ExecutorError `executor_failed_to_start`
   */
  static async start(
    options: ExecutorOptions,
    events: ExecutorEvents,
    clock: Clock,
    logger: Logger,
  ): Promise<{ executor: ExecutorProcess; flops: number }> {
    const { device } = options;
    const child = fork(ENTRY, [JSON.stringify(options)], {
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      // whatever the process leaves behind when it is killed (sockets, files) lies in its own folder
      env: { ...process.env, TMPDIR: options.scratch },
    });
    const probed = new Promise<number>((resolve, reject) => {
      child.on('message', (message) => {
        const received = message as FromExecutor;
        if (received.kind === 'probed') resolve(received.flops);
      });
      child.once('exit', (code, signal) => {
        reject(
          new ExecutorError(
            'executor_failed_to_start',
            device.id,
            `the executor ended at once (${signal ?? code ?? '?'})`,
          ),
        );
      });
    });
    const executor = new ExecutorProcess(device, child, events, clock);
    try {
      const flops = await withDeadline(probed, START_SECONDS, `${device.id}: starting the executor`);
      logger.debug({ device: device.id, pid: child.pid, flops }, 'executor started');
      return { executor, flops };
    } catch (error) {
      await executor.close(0);
      throw error;
    }
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  send(message: ToExecutor): void {
    if (this.gone || !this.child.connected) return;
    this.child.send(message, () => undefined); // a failed send shows as the process's exit
  }

  /** Ends the process: asks, waits `graceSeconds`, kills. */
  async close(graceSeconds: number): Promise<void> {
    this.closing = true;
    this.send({ kind: 'shutdown' });
    const cancel = this.clock.after(graceSeconds, () => this.child.kill('SIGKILL'));
    if (this.child.exitCode === null && this.child.signalCode === null && this.child.pid !== undefined)
      await this.exited;
    cancel();
  }

  private receive(message: FromExecutor): void {
    this.lastBeat = this.clock.monotonic();
    if (message.kind === 'beat') this.phase = message.phase;
    if (!this.closing) this.events.message(message);
  }

  private watch(): void {
    this.clock.after(STALL_SECONDS / 5, () => {
      if (this.gone || this.closing) return;
      const silent = this.clock.monotonic() - this.lastBeat;
      const strict = this.phase === 'training' || this.phase === 'validating';
      if (silent <= (strict ? STALL_SECONDS : PATIENT_STALL_SECONDS)) {
        this.watch();
        return;
      }
      this.lose(
        new ExecutorError(
          'executor_stalled',
          this.device.id,
          `the executor (pid ${this.child.pid ?? 0}) gave no sign of life for ${silent.toFixed(1)} s while ${this.phase}; it was killed`,
        ),
      );
      this.child.kill('SIGKILL');
    });
  }

  private lose(error: ExecutorError): void {
    if (this.gone) return;
    this.gone = true;
    if (!this.closing) this.events.lost(error);
  }
}
