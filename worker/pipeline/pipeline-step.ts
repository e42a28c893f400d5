import { InvariantError } from '../../base/index.js';
import type { Dataset } from '../../data/index.js';
import type { RunPlan } from '../../protocol/index.js';
import { isCompute, isSend, type Action, type Compute } from '../../scheduler/index.js';
import type { SegmentTiming } from '../engine/index.js';
import type { EngineParameters } from '../run/engine-parameters.js';
import { feed, feedMasks, feedScale, view, type Feed } from '../run/feeder.js';
import type { Updating } from '../run/updating.js';
import type { TraceRecorder } from '../trace/index.js';
import { Ahead } from './ahead.js';
import { MicroBatch } from './micro-batch.js';
import type { MicroBatchPart } from './neighbours.js';
import type { Pools } from './pools.js';
import type { CompiledStage, CompiledStages } from './compiled-stage.js';
import type { Phase } from './stage-step.js';
import type { Transfers } from './transfers.js';

/** Computations that the compute thread is asked for at once: it never waits for this thread between two of them. */
const MOST_ASKED = 2;

/** What a rank's steps have in common. */
export interface StepContext {
  readonly plan: Pick<RunPlan, 'seed'>;
  readonly dataset: Dataset;
  readonly parameters: EngineParameters;
  /** Where gradients go, by bucket and stage. */
  readonly updating: Updating;
  readonly pools: ReadonlyMap<number, Pools>;
  readonly transfersOf: (compiled: CompiledStage) => Transfers;
  readonly trace: TraceRecorder;
}

/** One step as a rank sees it. */
export interface StepShape {
  readonly step: number;
  /** Samples of the global batch, in order; and how many. */
  readonly indices: ArrayLike<number> & { slice(start: number, end: number): ArrayLike<number> };
  /** Micro-batches in which the rank has samples, by number, with its stages compiled for as many. */
  readonly parts: ReadonlyMap<number, { readonly part: MicroBatchPart; readonly compiled: CompiledStages }>;
  readonly program: readonly Action[];
  readonly receives: Receives;
}

/** What a rank receives in a step, by kind and stage: in which order of micro-batches. */
export type Receives = ReadonlyMap<
  string,
  { readonly action: Action; readonly microBatches: readonly number[] }
>;

/** @param here whether the rank has samples in a micro-batch */
export function receivesOf(program: readonly Action[], here: (microBatch: number) => boolean): Receives {
  const orders = new Map<string, { readonly action: Action; readonly microBatches: number[] }>();
  for (const action of program) {
    const receives = action.kind === 'receive-activation' || action.kind === 'receive-gradient';
    if (!receives || !here(action.microBatch)) continue;
    const key = `${action.kind} ${action.stage}`;
    const order = orders.get(key);
    if (order) order.microBatches.push(action.microBatch);
    else orders.set(key, { action, microBatches: [action.microBatch] });
  }
  return orders;
}

/** Follows a rank's program for one step: computes, sends and receives in its order, and decides nothing. */
export class PipelineStep {
  /** This rank's part of the mean loss. */
  loss = 0;
  computeSeconds = 0;
  private readonly microBatches = new Map<string, MicroBatch>();
  private readonly ahead = new Map<string, Ahead<number>>();
  /** Computations asked for and not over, oldest first. */
  private readonly asked: Promise<void>[] = [];
  /** By stage: when its buffers of gradients are back. */
  private readonly gradientsBack = new Map<number, Promise<void>>();
  private readonly background: Promise<void>[] = [];
  private readonly failed: Promise<never>;
  private fail!: (error: unknown) => void;

  constructor(
    private readonly context: StepContext,
    private readonly shape: StepShape,
  ) {
    this.failed = new Promise((_, reject) => (this.fail = reject));
    this.failed.catch(() => undefined); // whoever waits is told
  }

  /** @throws what the engine, a stream or the data throws; everything else is given up then */
  async run(): Promise<void> {
    this.askAhead();
    for (const action of this.shape.program) {
      const here = this.shape.parts.get(action.microBatch);
      if (!here) continue; // a short last batch may leave nothing for this rank
      if (isCompute(action.kind)) await this.compute(action.kind, action.stage, here.part);
      else if (isSend(action.kind)) this.send(action, here.part);
    }
    await this.unlessFailed(Promise.all([...this.background, ...this.asked]));
  }

  private unlessFailed<T>(waiting: Promise<T>): Promise<T> {
    return Promise.race([waiting, this.failed]);
  }

  /** What is received is asked for in the order of the program. */
  private askAhead(): void {
    for (const [key, { action, microBatches }] of this.shape.receives) {
      this.ahead.set(key, new Ahead(microBatches, (microBatch) => this.receive(action, microBatch)));
    }
  }

  private async receive({ kind, stage }: Action, microBatch: number): Promise<void> {
    const own = this.microBatch(stage, microBatch);
    const { part } = this.shape.parts.get(microBatch)!;
    const transfers = this.context.transfersOf(own.compiled);
    const moment = { step: this.shape.step, microBatch };
    if (kind === 'receive-activation') await transfers.received.receive(own.get('received'), part.up, moment);
    else await transfers.receivedGradients.receive(own.get('receivedGradients'), part.down, moment);
  }

  private microBatch(stage: number, microBatch: number): MicroBatch {
    const key = `${stage} ${microBatch}`;
    let own = this.microBatches.get(key);
    if (!own) {
      const compiled = this.shape.parts.get(microBatch)!.compiled.stages.get(stage);
      const pools = this.context.pools.get(stage);
      if (!compiled || !pools) throw new InvariantError(`stage ${stage} is none of this rank's`);
      own = new MicroBatch(compiled, pools);
      this.microBatches.set(key, own);
    }
    return own;
  }

  /** Asks for a computation, once all that it needs is there; `settled` of the micro-batch tells when it is over. */
  private async compute(kind: Compute, stage: number, part: MicroBatchPart): Promise<void> {
    const own = this.microBatch(stage, part.microBatch);
    const { phases } = own.compiled.step;
    const phase = phases.find((each) => each.kind === kind);
    if (!phase) throw new InvariantError(`stage ${stage} has no ${kind}`);
    const first = kind === 'forward';
    if (first) this.feed(own, part);
    const need = first ? 'receive-activation' : 'receive-gradient';
    if (first || phases[1] === phase) {
      const inbound = this.ahead.get(`${need} ${stage}`);
      if (inbound) await this.unlessFailed(inbound.take(part.microBatch));
    }
    await this.unlessFailed(own.ready(phase.uses));
    if (phase.writes.length > 0) await this.unlessFailed(this.gradientsBack.get(stage) ?? Promise.resolve());
    while (this.asked.length >= MOST_ASKED) await this.unlessFailed(this.asked.shift()!);
    for (const name of phase.makes) own.hold(name); // until it is sent
    const over = this.start(own, phase, part);
    over.catch((error: unknown) => this.fail(error));
    own.settled = over;
    this.asked.push(over);
    if (phase.writes.length > 0) this.gradientsBack.set(stage, over);
  }

  private async start(own: MicroBatch, phase: Phase, part: MicroBatchPart): Promise<void> {
    const { stage, step } = own.compiled;
    const { uses, reads, writes, sequence } = phase;
    if (!sequence) {
      own.advance();
      return;
    }
    const { parameters, updating } = this.context;
    const firstGradient = uses.length + reads.length;
    const timings = await sequence.run(
      [
        ...own.forPhase(uses),
        ...reads.map((bucket) => parameters.keys[bucket]!),
        ...writes.map((bucket) => updating.target(bucket, stage)),
      ],
      (_segment, returned) => {
        for (const { index, buffer } of returned) {
          if (index < uses.length) own.put(uses[index]!, buffer);
          else updating.returned(writes[index - firstGradient]!, stage, buffer);
        }
      },
    );
    if (writes.length > 0) await updating.add(writes, stage);
    this.record(own.compiled.fused ? 'step' : phase.kind, stage, part, timings);
    if (phase.kind === 'forward') {
      const batch = own.get('batch');
      if (own.compiled.loss !== undefined) {
        const [loss] = view(batch, step.layouts.get('batch')!, own.compiled.loss) as Float32Array;
        this.loss += loss! * this.weightOf(part);
      }
      own.compiled.statistics.read(batch);
    }
    own.advance();
  }

  /** What the last computation of a micro-batch on a stage has made goes out as soon as it is there. */
  private send({ kind, stage }: Action, part: MicroBatchPart): void {
    const own = this.microBatch(stage, part.microBatch);
    const moment = { step: this.shape.step, microBatch: part.microBatch };
    const { source } = own.compiled;
    const [name, edges, hops] =
      kind === 'send-activation'
        ? (['sent', source.sends, part.down] as const)
        : (['sentGradients', source.sendsGradients, part.up] as const);
    if (edges.length === 0) return;
    const transfer = this.context.transfersOf(own.compiled)[name];
    const sending = own.settled.then(async () => {
      await transfer.send(own.get(name), hops, moment);
      own.release(name);
    });
    sending.catch((error: unknown) => this.fail(error));
    own.sending(name, sending);
    this.background.push(sending);
  }

  private feed(own: MicroBatch, part: MicroBatchPart): void {
    const { data, masks, scaled, statistics, step } = own.compiled;
    const layout = step.layouts.get('batch')!;
    const buffer = own.get('batch');
    const what: Feed = {
      indices: data ? this.shape.indices.slice(part.start, part.end) : { length: part.end - part.start },
      first: part.start,
      lossScale: this.weightOf(part),
      seed: this.context.plan.seed,
      step: this.shape.step,
    };
    if (data) feed(buffer, layout, this.context.dataset, data, what);
    else feedMasks(buffer, layout, masks, what);
    if (scaled) feedScale(buffer, layout, what);
    statistics.write(buffer);
  }

  private weightOf({ start, end }: MicroBatchPart): number {
    return (end - start) / this.shape.indices.length;
  }

  private record(
    kind: Compute | 'step',
    stage: number,
    { microBatch }: MicroBatchPart,
    timings: readonly SegmentTiming[],
  ): void {
    for (const { startedAt, computeSeconds, restSeconds } of timings) {
      const seconds = computeSeconds + restSeconds;
      this.computeSeconds += seconds;
      this.context.trace.add(kind, stage, microBatch, this.shape.step, startedAt, startedAt + seconds);
    }
  }
}
