import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { fromReport, type Clock, type DtrainError, type Logger, type Seconds } from '../../base/index.js';
import { decodeRunPlan } from '../../protocol/index.js';
import { hasOwnMemory, type DeviceRates } from '../../scheduler/index.js';
import { LastWords, type ResolvedDevice } from '../device/index.js';
import { ExecutorError, OverBudgetError, StoppedError } from '../errors.js';
import { judge, residentBytes } from '../memory/index.js';
import {
  STALL_SECONDS,
  type ExecutorOptions,
  type FromExecutor,
  type Phase,
  type ToExecutor,
} from '../messages.js';

/**
 * A budget counts what is garbage, too: an executor collects before it takes much, and after it. Of new objects an engine's
 * two heaps keep 2 MiB each and not 16: it has few, and they die young in either.
 */
const FRUGAL_HEAP = ['--expose-gc', '--max-semi-space-size=2'];
/**
 * For the GNU C library; others have no such settings. By itself it learns not to give large blocks back: what a run took
 * would stay in pieces, 15 to 90 MiB more with each kind of job (docs/memory.md).
 */
const FRUGAL_MALLOC = {
  MALLOC_ARENA_MAX: '2',
  MALLOC_MMAP_THRESHOLD_: String(2 ** 21),
  MALLOC_TRIM_THRESHOLD_: String(2 ** 23),
};

const ENTRY = fileURLToPath(new URL('../executor/main.js', import.meta.url));
const START_SECONDS: Seconds = 30;
/** Drivers are loaded, shaders compiled; a software driver takes its time. */
const GPU_START_SECONDS: Seconds = 90;
/**
 * How often the daemon looks. Silence is counted in its own looks rather than by the clock, so that a pause of
 * the daemon itself (a stopped or starved process) is not taken for the executor's.
 */
const TICK_SECONDS: Seconds = STALL_SECONDS / 5;
/** How often the memory of one that runs something is looked at: a process whose main thread is blocked cannot do it. */
const MEMORY_SECONDS: Seconds = 0.25;
/** Outside training an executor may be busy for long in one go: reading a model, inflating data, writing weights. */
const PATIENCE_SECONDS: Readonly<Record<Phase, Seconds>> = {
  idle: 4 * STALL_SECONDS,
  fetching: 60,
  compiling: 60,
  connecting: STALL_SECONDS,
  training: STALL_SECONDS,
  validating: STALL_SECONDS,
  saving: 60,
};

export interface ExecutorEvents {
  message(message: FromExecutor): void;
  /** The process is gone, or is being killed because it stood still. Comes once. */
  lost(error: DtrainError): void;
}

/**
 * The process of one device, as its daemon sees it. It is killed when it stops beating: a process that was
 * stopped, or whose event loop is blocked, would hold up its ring for ever. And when it takes far more memory than its
 * device has for it.
 */
export class ExecutorProcess {
  /** Resolves when the process has ended, however it did. */
  readonly exited: Promise<void>;
  private silentTicks = 0;
  private phase: Phase = 'idle';
  private over: DtrainError | undefined;
  /** The run that it was given last. */
  private launched: Extract<ToExecutor, { kind: 'launch' }> | undefined;
  private closing = false;
  private events: ExecutorEvents | undefined;
  private measured: ((rates: DeviceRates | Error) => void) | undefined;
  private readonly words = new LastWords();

  private constructor(
    readonly device: ResolvedDevice,
    private readonly child: ChildProcess,
    private readonly clock: Clock,
    quiet: boolean,
  ) {
    child.on('message', (message) => this.receive(message as FromExecutor));
    child.stderr?.on('data', (chunk: Buffer) => {
      this.words.add(chunk);
      if (!quiet) process.stderr.write(chunk);
    });
    this.exited = new Promise((resolve) => {
      // not `exit`: what the process said last is read then
      child.once('close', (code, signal) => {
        const said = signal === 'SIGKILL' ? '' : this.words.toString();
        const what = `the executor process (pid ${child.pid ?? 0}) ${ending(code, signal)}${said}`;
        this.lose(this.error('executor_died', what));
        resolve();
      });
      child.once('error', (cause) => {
        this.lose(this.error('executor_died', `the executor process failed: ${cause.message}`, cause));
        if (child.pid === undefined) resolve(); // it was never there
      });
    });
  }

  /**
   * Starts the process and waits until it has measured its device.
   * @returns the process and the measured rates
   * @param quiet keeps what the process writes on stderr
   * @throws ExecutorError `executor_failed_to_start`, StoppedError when `signal` is aborted; the process is gone then
   */
  static async start(
    options: ExecutorOptions,
    clock: Clock,
    logger: Logger,
    signal: AbortSignal,
    quiet = false,
  ): Promise<{ executor: ExecutorProcess; rates: DeviceRates }> {
    const { device } = options;
    if (signal.aborted) throw new StoppedError('the worker is closing');
    const child = fork(ENTRY, [JSON.stringify(options)], {
      serialization: 'advanced',
      execArgv: [...process.execArgv, ...FRUGAL_HEAP],
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
      // a terminal's Ctrl-C reaches a whole process group: when this process ends, the daemon decides
      detached: true,
      // whatever the process leaves behind when it is killed (sockets, files) lies in its own folder
      env: { CUDA_DEVICE_ORDER: 'PCI_BUS_ID', ...FRUGAL_MALLOC, ...process.env, TMPDIR: options.scratch },
    });
    const executor = new ExecutorProcess(device, child, clock, quiet);
    const rates = await executor.probed(signal);
    if (rates instanceof Error) {
      await executor.close(0);
      throw rates;
    }
    logger.debug({ device: device.id, pid: child.pid, ...rates }, 'executor started');
    return { executor, rates };
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** From now on `events` are told, and the process has to beat. */
  listen(events: ExecutorEvents): void {
    this.events = events;
    if (this.over && !this.closing) events.lost(this.over);
    else {
      this.watch();
      this.watchMemory();
    }
  }

  send(message: ToExecutor): void {
    if (this.over || !this.child.connected) return;
    if (message.kind === 'launch') this.launched = message;
    this.child.send(message, () => undefined); // a failed send shows as the process's exit
  }

  /** Ends the process: asks, waits `graceSeconds`, kills. Resolves when it is gone. */
  async close(graceSeconds: Seconds): Promise<void> {
    this.closing = true;
    if (graceSeconds === 0) this.child.kill('SIGKILL');
    this.send({ kind: 'shutdown' });
    const cancel = this.clock.after(graceSeconds, () => this.child.kill('SIGKILL'));
    await this.exited;
    cancel();
  }

  /** The measured rates, or why there are none. */
  private async probed(signal: AbortSignal): Promise<DeviceRates | Error> {
    const undo: (() => void)[] = [];
    try {
      return await new Promise((resolve) => {
        this.measured = resolve;
        const abort = () => resolve(new StoppedError('the worker is closing'));
        signal.addEventListener('abort', abort, { once: true });
        undo.push(() => signal.removeEventListener('abort', abort));
        const seconds = hasOwnMemory(this.device.kind) ? GPU_START_SECONDS : START_SECONDS;
        const late = () =>
          resolve(this.failedToStart(`no sign of it for ${seconds} s${this.words.toString()}`));
        undo.push(this.clock.after(seconds, late));
        void this.exited.then(() => resolve(this.failedToStart(whatOf(this.over))));
      });
    } finally {
      for (const step of undo) step();
    }
  }

  private failedToStart(what: string, cause: unknown = this.over): ExecutorError {
    return new ExecutorError(
      'executor_failed_to_start',
      this.device.id,
      `the executor did not start: ${what}`,
      cause,
    );
  }

  private receive(message: FromExecutor): void {
    this.silentTicks = 0;
    if (message.kind === 'probed') this.measured?.(message.rates);
    if (message.kind === 'unusable') {
      this.measured?.(this.failedToStart(message.error.message, fromReport(message.error)));
    }
    if (message.kind === 'beat') this.phase = message.phase;
    if (message.kind === 'giving-up') {
      const what = `${message.reason}; its process (pid ${this.child.pid ?? 0}) was killed`;
      this.kill(message.error ? fromReport(message.error) : this.error('executor_died', what));
    }
    if (!this.closing && !this.over) this.events?.message(message);
  }

  private watch(): void {
    this.clock.after(TICK_SECONDS, () => {
      if (this.over || this.closing) return;
      this.silentTicks++;
      const silent = this.silentTicks * TICK_SECONDS;
      if (silent <= PATIENCE_SECONDS[this.phase]) {
        this.watch();
        return;
      }
      const what = `the executor (pid ${this.child.pid ?? 0}) gave no sign of life for ${silent.toFixed(1)} s while ${this.phase}`;
      this.kill(this.error('executor_stalled', `${what}; it was killed`));
    });
  }

  /** Between runs it is let be: what it did not give back shows when it runs something. */
  private watchMemory(): void {
    this.clock.after(MEMORY_SECONDS, () => {
      if (this.over || this.closing) return;
      const { id: device, hostBytes: budgetBytes, ownMemory: ofHost } = this.device;
      const measuredBytes = this.phase === 'idle' ? undefined : residentBytes(this.child.pid);
      if (measuredBytes === undefined || judge(measuredBytes, budgetBytes) !== 'exit') {
        this.watchMemory();
        return;
      }
      const predictedBytes = this.launched ? accountedIn(this.launched) : 0;
      this.kill(
        new OverBudgetError({ device, budgetBytes, ofHost, measuredBytes, predictedBytes, held: [] }),
      );
    });
  }

  private kill(error: DtrainError): void {
    this.lose(error);
    this.child.kill('SIGKILL');
  }

  private error(code: 'executor_died' | 'executor_stalled', what: string, cause?: unknown): ExecutorError {
    return new ExecutorError(code, this.device.id, what, cause);
  }

  private lose(error: DtrainError): void {
    if (this.over) return;
    this.over = error;
    if (!this.closing) this.events?.lost(this.over);
  }
}

function whatOf(error: DtrainError | undefined): string {
  return error instanceof ExecutorError ? error.what : (error?.message ?? 'it ended');
}

/** What the plan of a run counts for its rank; 0 for what is no plan: the executor complains of that itself. */
function accountedIn({ plan, run }: Extract<ToExecutor, { kind: 'launch' }>): number {
  try {
    return decodeRunPlan(plan).ranks[run.rank]?.accountedBytes ?? 0;
  } catch {
    return 0;
  }
}

function ending(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal === 'SIGKILL') return 'was killed (SIGKILL: by somebody, or by the system when memory ran out)';
  if (signal) return `was ended by ${signal}`;
  return `exited with ${code ?? 'no code'}`;
}
