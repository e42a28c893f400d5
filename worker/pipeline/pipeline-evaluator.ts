import type { Communicator } from '../../collectives/index.js';
import type { Dataset } from '../../data/index.js';
import type { RunPlan } from '../../protocol/index.js';
import type { MemoryLedger } from '../memory/index.js';
import type { EngineParameters } from '../run/engine-parameters.js';
import { scoreOf } from '../run/accuracy.js';
import type { Evaluation } from '../run/evaluator.js';
import { feed, view } from '../run/feeder.js';
import { partsWithHops, type MicroBatchPart } from './neighbours.js';
import type { CompiledStage } from './compiled-stage.js';
import type { StageModel } from './stage-model.js';
import type { BufferName } from './stage-step.js';
import type { Streams } from './transfer.js';
import { transfersOf, type Transfers } from './transfers.js';

export interface PipelineEvaluatorOptions {
  readonly plan: RunPlan;
  readonly rank: number;
  readonly dataset: Dataset;
  readonly model: StageModel;
  readonly world: Communicator;
  readonly parameters: EngineParameters;
  readonly streams: Streams;
  readonly ledger: MemoryLedger;
}

/** What the parts of a data set came to on one rank. */
interface Sums {
  loss: number;
  samples: number;
  correct: number;
  counted: number;
}

/**
 * Evaluates a data set through the pipeline: batches of the size that training has, one after the other, each through
 * all stages; a stage starts with the next batch while the one before is in later stages. Every rank ends with the same
 * numbers.
 */
export class PipelineEvaluator {
  private readonly transfers = new WeakMap<CompiledStage, Transfers>();
  /** Bytes of buffers that the current batch takes: they go when all of it is sent. */
  private held = 0;

  constructor(private readonly options: PipelineEvaluatorOptions) {}

  /** @param stopped throws where the run was told to end */
  async evaluate(stopped: () => void): Promise<Evaluation> {
    const { plan, rank, dataset, world } = this.options;
    const sums: Sums = { loss: 0, samples: 0, correct: 0, counted: 0 };
    const sends: Promise<void>[] = [];
    for (let first = 0, step = 0; first < dataset.length; first += plan.batch, step++) {
      stopped();
      const count = Math.min(plan.batch, dataset.length - first);
      try {
        for (const part of partsWithHops(plan, rank, count)) await this.part(part, first, step, sums, sends);
        await Promise.all(sends.splice(0));
      } finally {
        this.hold(-this.held);
      }
    }
    const { loss, samples, correct, counted } = sums;
    const all = await world.allReduceScalars(Float64Array.of(loss, samples, correct, counted));
    return { loss: all[0]! / all[1]!, accuracy: all[3]! > 0 ? all[2]! / all[3]! : undefined };
  }

  private hold(bytes: number): void {
    this.held += bytes;
    this.options.ledger.add('batches and messages of the validation', bytes);
  }

  /** One micro-batch through all stages of this rank. */
  private async part(part: MicroBatchPart, first: number, step: number, sums: Sums, sends: Promise<void>[]) {
    const { model, streams } = this.options;
    const compiled = await model.evaluation.for(part.end - part.start);
    const moment = { step, microBatch: part.microBatch };
    for (const stage of compiled.stages.values()) {
      let transfers = this.transfers.get(stage);
      if (!transfers) {
        transfers = transfersOf(stage, streams, 'evaluation');
        this.transfers.set(stage, transfers);
      }
      const buffers = new Map<BufferName, ArrayBuffer>();
      const names = ['batch', 'received', 'sent'] as const;
      for (const name of names) buffers.set(name, new ArrayBuffer(stage.step.bytesOf(name)));
      const bytes = names.reduce((sum, name) => sum + stage.step.bytesOf(name), 0);
      this.hold(bytes);
      this.feed(stage, buffers.get('batch')!, part, first);
      if (stage.stage > 0) await transfers.received.receive(buffers.get('received')!, part.up, moment);
      await this.run(stage, buffers);
      if (stage.loss === undefined) {
        const sending = transfers.sent.send(buffers.get('sent')!, part.down, moment);
        sending.catch(() => undefined); // awaited with the batch
        sends.push(sending);
      } else {
        this.score(stage, buffers.get('batch')!, part.end - part.start, sums);
      }
    }
  }

  private async run({ step }: CompiledStage, buffers: Map<BufferName, ArrayBuffer>): Promise<void> {
    const [phase] = step.phases;
    const { uses, reads, sequence } = phase!;
    const { parameters } = this.options;
    await sequence!.run(
      [...uses.map((name) => buffers.get(name)!), ...reads.map((bucket) => parameters.keys[bucket]!)],
      (_segment, returned) => {
        for (const { index, buffer } of returned) buffers.set(uses[index]!, buffer);
      },
    );
  }

  private feed(
    { data, step, statistics }: CompiledStage,
    batch: ArrayBuffer,
    part: MicroBatchPart,
    first: number,
  ) {
    if (data) {
      const indices = Uint32Array.from({ length: part.end - part.start }, (_, i) => first + part.start + i);
      const what = { indices, first: part.start, lossScale: 1, seed: 0, step: 0 };
      feed(batch, step.layouts.get('batch')!, this.options.dataset, data, what);
    }
    statistics.write(batch);
  }

  private score(
    { step, data, loss, output }: CompiledStage,
    batch: ArrayBuffer,
    count: number,
    sums: Sums,
  ): void {
    const layout = step.layouts.get('batch')!;
    const target = layout.fields.get(data!.target)!;
    const { shape } = layout.fields.get(output!)!;
    const score = scoreOf(
      this.options.plan.loss,
      { shape, data: view(batch, layout, output!) as Float32Array },
      { shape: target.shape, data: view(batch, layout, target.name) as Float32Array | BigInt64Array },
    );
    sums.loss += (view(batch, layout, loss!) as Float32Array)[0]! * count;
    sums.samples += count;
    sums.correct += score?.correct ?? 0;
    sums.counted += score?.counted ?? 0;
  }
}
