import { reportOf, unreachable, type Seconds } from '../../../base/index.js';
import { collectGarbage } from '../../memory/index.js';
import { BufferError } from '../errors.js';
import type { Engine, Program } from '../port.js';
import { measureRates, throttled } from '../rates/index.js';
import type {
  Exchange,
  HeldBuffer,
  Operation,
  Operations,
  Reply,
  Request,
  ReturnedBuffer,
  RunBuffer,
  SegmentTiming,
} from './messages.js';
import { checkSequence, departures, viewsOf, type ProgramId, type SequencePlan } from './sequence.js';

interface Prepared {
  readonly plan: SequencePlan;
  readonly departures: readonly (readonly number[])[];
  /** Resident buffers by index; undefined where a travelling one goes. */
  readonly resident: readonly (ArrayBuffer | undefined)[];
}

/** What the host needs of the thread it lives in. */
export interface Surroundings {
  post(reply: Reply, transfer?: readonly ArrayBuffer[]): void;
  /** Seconds since 1970, on a clock that never goes back. */
  now(): Seconds;
  /** Resolves after `seconds`. */
  rest(seconds: Seconds): Promise<void>;
}

/** Serves the requests of a compute thread with one engine: what runs on the thread's side. */
export class ThreadHost {
  private readonly programs = new Map<ProgramId, Program>();
  private readonly sequences = new Map<number, Prepared>();
  private readonly held = new Map<HeldBuffer, ArrayBuffer>();
  private nextId = 1;
  private queue: Promise<void> = Promise.resolve();

  constructor(
    private readonly engine: Engine,
    private readonly speed: number,
    private readonly surroundings: Surroundings,
  ) {}

  /** Serves the request after all earlier ones; the answer is posted, never thrown. */
  handle(request: Request): Promise<void> {
    this.queue = this.queue.then(async () => {
      try {
        const answer = await this.serve(request);
        const transfer = request.kind === 'take' ? (answer as Operations['take']['answers']).buffers : [];
        this.surroundings.post({ kind: 'done', id: request.id, answer }, transfer);
      } catch (error) {
        this.surroundings.post({ kind: 'failed', id: request.id, report: reportOf(error) });
      }
    });
    return this.queue;
  }

  private async serve(request: Request): Promise<Operations[Operation]['answers']> {
    switch (request.kind) {
      case 'compile': {
        const program = await this.engine.compile(request.graph);
        const id = this.nextId++;
        this.programs.set(id, program);
        const { inputs, outputs, fallbacks } = program;
        return { program: id, inputs, outputs, fallbacks };
      }
      case 'prepare':
        return { sequence: this.prepare(request.plan) };
      case 'hold':
        this.hold(request.key, request.buffer);
        return undefined;
      case 'take':
        return { buffers: await this.take(request.keys) };
      case 'drop':
        this.drop(request.keys);
        return undefined;
      case 'exchange':
        for (const pair of request.pairs) this.exchange(pair);
        return undefined;
      case 'run':
        return { segments: await this.run(request.id, request.sequence, request.buffers) };
      case 'disposeProgram': {
        const program = this.programs.get(request.program);
        this.programs.delete(request.program);
        await program?.dispose();
        return undefined;
      }
      case 'disposeSequence':
        this.forget(request.sequence);
        return undefined;
      case 'measureRates':
        return throttled(await measureRates(this.engine, request.seconds), this.speed);
      case 'takeMostBytes':
        return { bytes: this.engine.takeMostBytes?.() };
      case 'collect':
        await collectGarbage();
        return undefined;
      case 'close':
        this.sequences.clear();
        this.held.clear();
        this.programs.clear();
        await this.engine.dispose();
        return undefined;
      default:
        return unreachable(request);
    }
  }

  private prepare(plan: SequencePlan): number {
    checkSequence(plan, (program) => this.programs.get(program));
    const id = this.nextId++;
    const resident = plan.buffers.map(({ bytes, kind }) =>
      kind === 'resident' ? new ArrayBuffer(bytes) : undefined,
    );
    for (const buffer of resident) if (buffer) this.engine.memory?.own(buffer);
    this.sequences.set(id, { plan, departures: departures(plan), resident });
    return id;
  }

  private forget(sequence: number): void {
    for (const buffer of this.sequences.get(sequence)?.resident ?? [])
      if (buffer) this.engine.memory?.drop(buffer);
    this.sequences.delete(sequence);
  }

  private hold(key: HeldBuffer, buffer: ArrayBuffer): void {
    const before = this.held.get(key);
    if (before) this.engine.memory?.drop(before);
    this.held.set(key, buffer);
    this.engine.memory?.own(buffer);
  }

  private drop(keys: readonly HeldBuffer[]): void {
    for (const key of keys) {
      const buffer = this.held.get(key);
      if (buffer) this.engine.memory?.drop(buffer);
      this.held.delete(key);
    }
  }

  private exchange({ from, to }: Exchange): void {
    const [written, stale] = this.kept([from, to]) as [ArrayBuffer, ArrayBuffer];
    if (written.byteLength !== stale.byteLength) {
      throw new BufferError(
        `${from} and ${to} cannot change places: ${written.byteLength} and ${stale.byteLength} bytes`,
      );
    }
    this.engine.memory?.own(stale); // anew: what stands for it is dropped
    this.held.set(from, stale);
    this.held.set(to, written);
  }

  private async run(
    request: number,
    sequence: number,
    given: readonly RunBuffer[],
  ): Promise<readonly SegmentTiming[]> {
    const prepared = this.sequences.get(sequence);
    if (!prepared) throw new BufferError(`sequence ${sequence} does not exist, or was disposed`);
    const buffers = gather(prepared, given, this.held);
    const timings: SegmentTiming[] = [];
    for (const [index, segment] of prepared.plan.segments.entries()) {
      const program = this.programs.get(segment.program);
      if (!program) throw new BufferError(`segment ${index}: program ${segment.program} was disposed`);
      const inputs = viewsOf(segment.inputs, program.inputs, buffers);
      const outputs = viewsOf(segment.outputs, program.outputs, buffers);
      const start = this.surroundings.now();
      await program.run(inputs, outputs);
      const computed = this.surroundings.now();
      if (this.speed < 1) await this.surroundings.rest((computed - start) * (1 / this.speed - 1));
      timings.push({
        startedAt: start,
        computeSeconds: computed - start,
        restSeconds: this.surroundings.now() - computed,
      });
      const leaving = prepared.departures[index]!.filter((buffer) => typeof given[buffer] !== 'number');
      this.release(request, index, leaving, buffers);
    }
    return timings;
  }

  private async take(keys: readonly HeldBuffer[]): Promise<readonly ArrayBuffer[]> {
    const buffers = this.kept(keys);
    for (const buffer of buffers) await this.engine.memory?.release(buffer);
    for (const key of keys) this.held.delete(key);
    return buffers;
  }

  private kept(keys: readonly HeldBuffer[]): readonly ArrayBuffer[] {
    return keys.map((key) => {
      const buffer = this.held.get(key);
      if (!buffer) throw new BufferError(`no buffer is kept under ${key}`);
      return buffer;
    });
  }

  private release(
    id: number,
    segment: number,
    leaving: readonly number[],
    buffers: readonly (ArrayBuffer | undefined)[],
  ) {
    if (leaving.length === 0) return;
    const returned = leaving.map((index): ReturnedBuffer => ({ index, buffer: buffers[index]! }));
    this.surroundings.post(
      { kind: 'released', id, segment, buffers: returned },
      returned.map(({ buffer }) => buffer),
    );
  }
}

/** All buffers of a run by index. @throws BufferError where one is missing or too small */
function gather(
  { plan, resident }: Prepared,
  given: readonly RunBuffer[],
  held: ReadonlyMap<HeldBuffer, ArrayBuffer>,
): readonly (ArrayBuffer | undefined)[] {
  return plan.buffers.map(({ bytes, kind }, index) => {
    if (kind === 'resident') return resident[index];
    const source = given[index];
    const buffer = typeof source === 'number' ? held.get(source) : source;
    if (!buffer || buffer.byteLength < bytes) {
      throw new BufferError(
        `buffer ${index} has ${buffer?.byteLength ?? 'no'} bytes, the sequence needs ${bytes}`,
      );
    }
    return buffer;
  });
}
