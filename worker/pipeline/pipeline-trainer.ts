import { Sampler, type Dataset } from '../../data/index.js';
import type { RunPlan } from '../../protocol/index.js';
import type { Action } from '../../scheduler/index.js';
import type { ComputeThread } from '../engine/index.js';
import type { MemoryLedger } from '../memory/index.js';
import type { EngineParameters } from '../run/engine-parameters.js';
import type { StepResult } from '../run/trainer.js';
import type { Updating } from '../run/updating.js';
import { TraceRecorder } from '../trace/index.js';
import { partsWithHops, type MicroBatchPart } from './neighbours.js';
import {
  PipelineStep,
  receivesOf,
  type Receives,
  type StepContext,
  type StepShape,
} from './pipeline-step.js';
import { Pools } from './pools.js';
import { programOf } from './program.js';
import type { CompiledStage } from './compiled-stage.js';
import type { StageModel } from './stage-model.js';
import type { Streams } from './transfer.js';
import { transfersOf, type Transfers } from './transfers.js';

export interface PipelineTrainerOptions {
  readonly plan: RunPlan;
  readonly rank: number;
  readonly dataset: Dataset;
  readonly model: StageModel;
  readonly parameters: EngineParameters;
  readonly updating: Updating;
  readonly streams: Streams;
  readonly thread: ComputeThread;
  readonly trace: TraceRecorder;
  readonly ledger: MemoryLedger;
}

interface BatchShape {
  readonly parts: readonly MicroBatchPart[];
  readonly receives: Receives;
}

/**
 * Synchronous training of one rank of a pipeline: its stages' part of every micro-batch in which it has samples, in the
 * order of its schedule, gradients added up; when a bucket's last gradient is there it is reduced over its ring. The
 * result is that of one device that adds up the same micro-batches, whatever the stages, replicas and schedule.
 */
export class PipelineTrainer {
  private readonly sampler: Sampler;
  private readonly context: StepContext;
  private readonly program: readonly Action[];
  private readonly pools: ReadonlyMap<number, Pools>;
  /** By samples of the batch: what the rank has of each micro-batch, and what it receives for them. */
  private readonly parts = new Map<number, BatchShape>();
  private readonly transfers = new WeakMap<CompiledStage, Transfers>();
  /** Buckets that each stage adds gradients to. */
  private writes: ReadonlyMap<number, readonly number[]> = new Map();

  constructor(private readonly options: PipelineTrainerOptions) {
    const { plan, dataset, model, updating, parameters, streams, thread, trace, ledger } = options;
    const { batch, seed } = plan;
    this.sampler = new Sampler({ length: dataset.length, batch, order: 'shuffled', seed });
    this.program = programOf(plan, model.pipelineRank);
    this.pools = new Map(
      model.own.map((stage) => [
        stage,
        new Pools(thread, (name, bytes) => ledger.add(`stage ${stage}: ${name}`, bytes)),
      ]),
    );
    this.context = {
      plan,
      dataset,
      parameters,
      updating,
      pools: this.pools,
      trace,
      transfersOf: (compiled) => {
        let found = this.transfers.get(compiled);
        if (!found) {
          found = transfersOf(compiled, streams, 'training');
          this.transfers.set(compiled, found);
        }
        return found;
      },
    };
  }

  /** As `Trainer.step`. */
  async step(step: number): Promise<StepResult> {
    const { updating, parameters, trace } = this.options;
    const shape = await this.shapeOf(step);
    updating.begin(
      parameters.trained.map((_, bucket) => {
        const users = [...this.writes.values()].filter((buckets) => buckets.includes(bucket)).length;
        return users * shape.parts.size;
      }),
    );
    const run = new PipelineStep(this.context, shape);
    await run.run();
    const computed = TraceRecorder.now();
    const updated = await updating.finish(step, run.loss);
    trace.add('update', 0, 0, step, computed, TraceRecorder.now());
    return { ...updated, samples: shape.indices.length, computeSeconds: run.computeSeconds };
  }

  /** Has the compute thread forget what it keeps for micro-batches. */
  async dispose(): Promise<void> {
    for (const pools of this.pools.values()) await pools.dispose();
  }

  private async shapeOf(step: number): Promise<StepShape> {
    const { plan, rank, model } = this.options;
    const indices = this.sampler.batch(this.sampler.positionOf(step)).slice(); // the sampler's view goes with the epoch
    let batch = this.parts.get(indices.length);
    if (!batch) {
      const parts = partsWithHops(plan, rank, indices.length);
      const here = new Set(parts.map(({ microBatch }) => microBatch));
      batch = { parts, receives: receivesOf(this.program, (microBatch) => here.has(microBatch)) };
      this.parts.set(indices.length, batch);
    }
    // not kept: programs of sizes that were not used for long are given up
    const compiled = new Map<number, StepShape['parts'] extends ReadonlyMap<number, infer P> ? P : never>();
    for (const part of batch.parts) {
      const stages = await model.training.for(part.end - part.start);
      compiled.set(part.microBatch, { part, compiled: stages });
      for (const [stage, each] of stages.stages) this.prepare(stage, each);
    }
    return { step, indices, parts: compiled, program: this.program, receives: batch.receives };
  }

  /** Makes sure that there are buffers for a stage of this size, and notes which gradients it has. */
  private prepare(stage: number, { step }: CompiledStage): void {
    this.pools.get(stage)!.fit(step);
    const writes = [...new Set(step.phases.flatMap((phase) => phase.writes))];
    if (!this.writes.has(stage)) this.writes = new Map([...this.writes, [stage, writes]]);
  }
}
