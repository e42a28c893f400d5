import { Worker } from 'node:worker_threads';
import { fromReport, withDeadline, type Bytes, type Seconds } from '../../../base/index.js';
import { emptyData, type TypedGraph } from '../../../graph/index.js';
import { ComputeThreadError } from '../errors.js';
import type { DeviceRates } from '../../../scheduler/index.js';
import type {
  CompiledProgram,
  Exchange,
  HeldBuffer,
  Operation,
  Operations,
  Reply,
  ReturnedBuffer,
  RunBuffer,
  SegmentTiming,
  ThreadOptions,
} from './messages.js';
import { fallbackForbidden } from '../fallback.js';
import type { EngineName, Fallback, FallbackPolicy } from '../port.js';
import type { ProgramId, SequencePlan } from './sequence.js';

/** Called with the buffers that a segment hands back, in the order of segments, before the run's promise resolves. */
export type OnReleased = (segment: number, buffers: readonly ReturnedBuffer[]) => void;

interface Pending {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: unknown) => void;
  readonly onReleased: OnReleased | undefined;
}

/**
 * An engine in a thread of its own, so that a step of any length never blocks the caller's event loop.
 *
 * Buffers are handed over and back by transfer: nothing is copied, and while the thread has one the caller's
 * views of it are detached. Requests are served one at a time in the order made. When the thread dies (it ran
 * out of memory, an uncaught error), everything pending rejects with ComputeThreadError, as does every later
 * call; buffers that were with it are lost. So are those of a run that failed.
 */
export class ComputeThread {
  private readonly pending = new Map<number, Pending>();
  private nextId = 1;
  /** For graphs that are compiled from now on. */
  fallback: FallbackPolicy = 'report';
  private readonly fallbacks: Fallback[] = [];
  private nextKey: HeldBuffer = 1;
  private death: ComputeThreadError | undefined;
  private readonly exited: Promise<void>;

  /** @param worker that has said that it is ready; see `start` */
  constructor(
    private readonly worker: Worker,
    private readonly engine: EngineName,
    /** The engine's description of its device. */
    readonly device: string,
    /** Whether values of kept buffers stay on the engine's device between runs. */
    readonly keepsValues: boolean,
  ) {
    worker.on('message', (reply: Reply) => this.receive(reply));
    worker.on('error', (error) => this.die(`the compute thread failed: ${error.message}`, error));
    this.exited = new Promise((resolve) => {
      worker.on('exit', (code) => {
        this.die(`the compute thread ended (code ${code})`);
        resolve();
      });
    });
  }

  /**
   * Starts the thread and its engine.
   * @throws EngineUnavailableError (as a DtrainError with its code) when there is no such engine or device
   * @throws ComputeThreadError when the thread does not start
   */
  static async start(options: ThreadOptions): Promise<ComputeThread> {
    const { heapBytes } = options;
    const resourceLimits = heapBytes === undefined ? {} : { maxOldGenerationSizeMb: heapBytes / 2 ** 20 };
    const worker = new Worker(new URL('./main.js', import.meta.url), { workerData: options, resourceLimits });
    const first = await firstReply(worker);
    if (first.kind === 'ready')
      return new ComputeThread(worker, options.engine, first.device, first.keepsValues);
    await worker.terminate();
    if (first.kind === 'unusable') throw fromReport(first.report);
    throw new ComputeThreadError(`the compute thread started with an unexpected message "${first.kind}"`);
  }

  /**
   * @throws CompileError (as a DtrainError with its code) naming the node where the engine says which, or those that would
   *   not run on the device where that is forbidden
   */
  async compile(graph: TypedGraph): Promise<CompiledProgram> {
    const compiled = await this.ask('compile', { graph: withoutValues(graph) });
    if (this.fallback === 'forbid' && compiled.fallbacks.length > 0) {
      await this.disposeProgram(compiled.program);
      throw fallbackForbidden(this.engine, graph.name, this.device, compiled.fallbacks);
    }
    this.fallbacks.push(...compiled.fallbacks);
    return compiled;
  }

  /** Nodes that do not run on the device, of all that was compiled since this was called last. */
  takeFallbacks(): readonly Fallback[] {
    return this.fallbacks.splice(0);
  }

  /**
   * Prepares a sequence of compiled programs on fixed buffers, to be run many times.
   * @throws BufferError (as a DtrainError with its code) when a slot does not fit; see `checkSequence`
   */
  async prepare(plan: SequencePlan): Promise<Sequence> {
    const { sequence } = await this.ask('prepare', { plan });
    return {
      run: (buffers, onReleased) =>
        this.ask(
          'run',
          { sequence, buffers },
          buffers.filter((buffer) => buffer instanceof ArrayBuffer),
          onReleased,
        ).then(({ segments }) => segments),
      dispose: () => this.ask('disposeSequence', { sequence }),
    };
  }

  /** A key that nobody has. */
  newKey(): HeldBuffer {
    return this.nextKey++;
  }

  /** Gives the thread a buffer to keep between runs, of any sequence; what it had under the key is dropped. */
  hold(key: HeldBuffer, buffer: ArrayBuffer): Promise<undefined> {
    return this.ask('hold', { key, buffer }, [buffer]);
  }

  /** Takes kept buffers back, after all that was asked before. @throws BufferError (with its code) for a key that has none */
  async take(keys: readonly HeldBuffer[]): Promise<readonly ArrayBuffer[]> {
    return (await this.ask('take', { keys })).buffers;
  }

  /** Forgets kept buffers; keys that have none are fine. */
  drop(keys: readonly HeldBuffer[]): Promise<undefined> {
    return this.ask('drop', { keys });
  }

  /**
   * Lets kept buffers change places, in order: what lies under `from` lies under `to` from now on, and nothing of it is
   * copied. The contents of what `to` had are lost.
   */
  exchange(pairs: readonly Exchange[]): Promise<undefined> {
    return this.ask('exchange', { pairs });
  }

  /** Whether the thread has ended, by itself or by `close`. */
  get dead(): boolean {
    return this.death !== undefined;
  }

  /** What the engine does in a second, as throttled, found out in about `seconds`. */
  measureRates(seconds: Seconds = 0.7): Promise<DeviceRates> {
    return this.ask('measureRates', { seconds });
  }

  /** The most bytes of its device that the engine counted since this was asked last; undefined where it does not count. */
  async takeMostBytes(): Promise<Bytes | undefined> {
    return (await this.ask('takeMostBytes', {})).bytes;
  }

  /** Frees what earlier requests left in the thread's heap, where the process lets garbage be collected. */
  collectGarbage(): Promise<undefined> {
    return this.ask('collect', {});
  }

  disposeProgram(program: ProgramId): Promise<undefined> {
    return this.ask('disposeProgram', { program });
  }

  /**
   * Ends the thread: waits for what was asked before, at most `seconds`, then ends it by force (a computation
   * inside the engine runs to its end even then). Idempotent; resolves when the thread is gone.
   */
  async close(seconds: Seconds = 5): Promise<void> {
    if (!this.death) {
      try {
        await withDeadline(this.ask('close', {}), seconds, 'closing the compute thread');
      } catch {
        await this.worker.terminate(); // busy or dead: its exit is awaited below either way
      }
    }
    await this.exited;
  }

  private ask<K extends Operation>(
    kind: K,
    asks: Operations[K]['asks'],
    transfer: readonly ArrayBuffer[] = [],
    onReleased?: OnReleased,
  ): Promise<Operations[K]['answers']> {
    return new Promise((resolve, reject) => {
      if (this.death) {
        reject(this.death);
        return;
      }
      const id = this.nextId++;
      this.worker.postMessage({ kind, id, ...asks }, transfer); // a Request: `Operations` ties kind and asks
      this.pending.set(id, { resolve, reject, onReleased });
    });
  }

  private receive(reply: Reply): void {
    if (reply.kind === 'ready' || reply.kind === 'unusable') return;
    const pending = this.pending.get(reply.id);
    if (!pending) return;
    if (reply.kind === 'released') {
      try {
        pending.onReleased?.(reply.segment, reply.buffers);
      } catch (error) {
        this.pending.delete(reply.id);
        pending.reject(error); // the caller's own mistake: its run fails with it
      }
      return;
    }
    this.pending.delete(reply.id);
    if (reply.kind === 'done') pending.resolve(reply.answer as never);
    else pending.reject(fromReport(reply.report));
  }

  /** The first reason is the one that everybody is told. */
  private die(message: string, cause?: unknown): void {
    this.death ??= new ComputeThreadError(message, { cause });
    for (const { reject } of this.pending.values()) reject(this.death);
    this.pending.clear();
  }
}

/** Parameters are inputs of a program: the thread needs their types alone. */
function withoutValues(graph: TypedGraph): TypedGraph {
  const types = [...graph.parameters].map(([name, { dtype, shape }]) => {
    return [name, { dtype, shape, data: emptyData(dtype, 0) }] as const;
  });
  return { ...graph, parameters: new Map(types) };
}

/** A prepared sequence. */
export interface Sequence {
  /**
   * Runs all segments on `buffers` (by index of the plan; undefined for resident ones). Those given are transferred, and
   * each comes back through `onReleased`: those a segment releases as soon as it has run, the others after the last.
   * Those that the thread keeps (`hold`) stay with it. All may be larger than the plan says.
   * @returns how long each segment took
   * @throws DtrainError `run_failed`, `internal` (a buffer that does not fit) or `compute_thread_died`
   */
  run(buffers: readonly RunBuffer[], onReleased: OnReleased): Promise<readonly SegmentTiming[]>;
  /** Frees the resident buffers. */
  dispose(): Promise<undefined>;
}

/** The thread's first words. Leaves no listener behind. */
function firstReply(worker: Worker): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      worker.off('message', onMessage).off('error', onError).off('exit', onExit);
      act();
    };
    const refuse = (message: string, cause?: unknown) =>
      settle(() => reject(new ComputeThreadError(message, { cause })));
    const onMessage = (reply: Reply) => settle(() => resolve(reply));
    const onError = (error: Error) => refuse(`the compute thread did not start: ${error.message}`, error);
    const onExit = (code: number) => refuse(`the compute thread ended as it started (code ${code})`);
    worker.on('message', onMessage).on('error', onError).on('exit', onExit);
  });
}
