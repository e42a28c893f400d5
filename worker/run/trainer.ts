import { sharesOf, splitBatch, Sampler, type Dataset } from '../../data/index.js';
import type { Communicator } from '../../collectives/index.js';
import type { RunPlan } from '../../protocol/index.js';
import { InvariantError } from '../../base/index.js';
import { DivergedError } from '../errors.js';
import {
  clipFactor,
  learningRateAt,
  Optimizer,
  type Settings,
  type StepScalars,
} from '../optimizer/index.js';
import { feed, view, type Feed } from './feeder.js';
import { shareOf } from './parts.js';
import type { RankMemory } from './rank-memory.js';
import type { TrainingStep } from './rank-model.js';
import type { Programs } from './programs.js';

/** What one step came to. */
export interface StepResult {
  /** Mean loss of the global batch, before the update. */
  readonly loss: number;
  readonly learningRate: number;
  /** Global norm of the gradient, before clipping. */
  readonly gradientNorm: number;
  /** Samples of the global batch. */
  readonly samples: number;
  /** This rank's own arithmetic, throttling included. */
  readonly computeSeconds: number;
}

/** A batch that was read ahead. */
interface Prepared {
  readonly step: number;
  readonly total: number;
  readonly count: number;
  readonly program: TrainingStep | undefined;
  readonly buffer: ArrayBuffer | undefined;
}

/**
 * Synchronous data-parallel training of one rank.
 *
 * A step: each rank computes the gradient of its part of the global batch, weighted by its part of the samples;
 * buckets are reduce-scattered while the backward pass computes the next; each rank updates its own shard
 * (ZeRO-1); the new parameters are gathered. The result is that of one device with the whole batch, whatever
 * the shares. While the compute thread works, the next batch is read.
 */
export class Trainer {
  private readonly sampler: Sampler;
  /** One for each of the settings. */
  private readonly optimizers: readonly Optimizer[];
  private readonly shares: readonly number[];
  /** Sets of engine-side buffers, by bucket, those of fixed parameters last. They travel to the compute thread and back each step. */
  private readonly parameters: ArrayBuffer[];
  private readonly gradients: ArrayBuffer[];
  private ahead: Promise<Prepared> | undefined;
  /** Batch buffers not in use, by program. */
  private readonly spare = new Map<TrainingStep, ArrayBuffer[]>();

  constructor(
    private readonly plan: RunPlan,
    private readonly rank: number,
    private readonly dataset: Dataset,
    private readonly memory: RankMemory,
    private readonly communicator: Communicator,
    private readonly programs: Programs<TrainingStep>,
    private readonly settings: readonly Settings[],
    /** Engine-side buffers of parameters that are not trained. */
    fixed: readonly ArrayBuffer[],
  ) {
    this.sampler = new Sampler({
      length: dataset.length,
      batch: plan.batch,
      order: 'shuffled',
      seed: plan.seed,
    });
    this.optimizers = settings.map(({ rule }) => new Optimizer(rule, memory.arena.memory));
    this.shares = plan.ranks.map((_, each) => shareOf(plan, each));
    this.parameters = [
      ...memory.buckets.map(({ parameters }) => new ArrayBuffer(parameters.values.byteLength)),
      ...fixed,
    ];
    this.gradients = memory.buckets.map(({ gradients }) => new ArrayBuffer(gradients.values.byteLength));
    memory.buckets.forEach((_, bucket) => this.publish(bucket));
  }

  /** The parameters as the engine takes them; lent for an evaluation between steps, and given back. */
  get engineParameters(): ArrayBuffer[] {
    return this.parameters;
  }

  /**
   * Step number `step` (from 0). All ranks call it with the same number.
   * @throws DivergedError when loss or gradient leave the reals; the parameters are then those before the step
   * @throws CollectiveError when the ring fails; likewise
   */
  async step(step: number): Promise<StepResult> {
    const batch = await (this.ahead ?? this.prepare(step));
    if (batch.step !== step) throw new InvariantError(`step ${batch.step} was prepared, ${step} is to run`);
    const reductions: Promise<void>[] = [];
    const reduce = (bucket: number) => {
      const reduction = this.communicator.reduceScatter(this.memory.buckets[bucket]!.gradients);
      reduction.catch(() => undefined); // awaited below; must not count as unhandled until then
      reductions.push(reduction);
    };
    const { loss, seconds } = await this.compute(batch, reduce);
    await Promise.all(reductions);
    const [globalLoss, squares] = await this.agree(loss * (batch.count / batch.total));
    const gradientNorm = Math.sqrt(squares);
    if (!Number.isFinite(globalLoss)) throw new DivergedError(step + 1, `the loss became ${globalLoss}`);
    if (!Number.isFinite(gradientNorm))
      throw new DivergedError(step + 1, `the gradient became ${gradientNorm}`);
    const { schedule, totalSteps, clipNorm } = this.plan;
    const gradientScale = clipNorm === null ? 1 : clipFactor(squares, clipNorm);
    const scalars = this.settings.map(({ lr }) => ({
      learningRate: learningRateAt(lr, schedule, step, totalSteps),
      step: step + 1,
      gradientScale,
    }));
    await this.update(scalars);
    const { learningRate } = scalars[0]!;
    return { loss: globalLoss, learningRate, gradientNorm, samples: batch.total, computeSeconds: seconds };
  }

  /** Forward and backward of this rank's part; `reduce` is called for each bucket once its gradients are there. */
  private async compute(
    batch: Prepared,
    reduce: (bucket: number) => void,
  ): Promise<{ loss: number; seconds: number }> {
    const { program, buffer, step } = batch;
    if (!program || !buffer) {
      // a short last batch may leave nothing for this rank: its part of every sum is zero
      this.lookAhead(step);
      this.memory.buckets.forEach(({ gradients }, bucket) => {
        gradients.values.fill(0);
        reduce(bucket);
      });
      return { loss: 0, seconds: 0 };
    }
    let loss = NaN;
    program.statistics.write(buffer);
    const running = program.step.sequence.run(
      [buffer, ...this.parameters, ...this.gradients],
      (_segment, returned) => {
        for (const { index, buffer: back } of returned) {
          const bucket = index - program.step.gradientBuffer(0);
          if (bucket >= 0) {
            this.gradients[bucket] = back;
            this.memory.buckets[bucket]!.gradients.values.set(new Float32Array(back));
            reduce(bucket);
          } else if (index > 0) {
            this.parameters[index - program.step.parameterBuffer(0)] = back;
          } else {
            loss = (view(back, program.step.batch, program.loss) as Float32Array)[0]!;
            program.statistics.read(back);
            this.spare.get(program)!.push(back);
          }
        }
      },
    );
    this.lookAhead(step);
    const timings = await running;
    return { loss, seconds: timings.reduce((sum, t) => sum + t.computeSeconds + t.restSeconds, 0) };
  }

  /** Sums what every rank has to know before it updates: the loss, and the squares of the gradient. */
  private async agree(loss: number): Promise<readonly [number, number]> {
    let squares = 0;
    for (const { shard } of this.memory.buckets)
      squares += this.optimizers[0]!.sumOfSquares(shard.gradients, shard.elements);
    const sums = await this.communicator.allReduceScalars(Float64Array.of(loss, squares));
    return [sums[0]!, sums[1]!];
  }

  /** @param scalars of this step, one for each of the settings */
  private async update(scalars: readonly StepScalars[]): Promise<void> {
    const gathers = this.memory.buckets.map(async ({ updates, parameters }, bucket) => {
      for (const { shard, group } of updates) this.optimizers[group]!.update(shard, scalars[group]!);
      // never rounded to a 16-bit wire: small updates of large parameters would be lost
      await this.communicator.allGather(parameters, { wire: 'float32' });
      this.publish(bucket);
    });
    await Promise.all(gathers);
  }

  /** Copies a bucket's parameters to where the engine reads them. */
  private publish(bucket: number): void {
    new Float32Array(this.parameters[bucket]!).set(this.memory.buckets[bucket]!.parameters.values);
  }

  /** Reads the batch of the step after `step`. */
  private lookAhead(step: number): void {
    this.ahead = step + 1 < this.plan.totalSteps ? this.prepare(step + 1) : undefined;
    this.ahead?.catch(() => undefined); // awaited by the next step, if there is one
  }

  private async prepare(step: number): Promise<Prepared> {
    const indices = this.sampler.batch(this.sampler.positionOf(step));
    const range = sharesOf(splitBatch(indices.length, this.shares))[this.rank]!;
    const count = range.end - range.start;
    const total = indices.length;
    if (count === 0) return { step, total, count, program: undefined, buffer: undefined };
    // the view of the epoch's order may go when the next epoch is asked for: take what is needed now
    const own = indices.slice(range.start, range.end);
    const program = await this.programs.for(count);
    const buffer = this.bufferFor(program);
    const what: Feed = {
      indices: own,
      first: range.start,
      lossScale: count / total,
      seed: this.plan.seed,
      step,
    };
    feed(buffer, program.step.batch, this.dataset, program.feed, what);
    return { step, total, count, program, buffer };
  }

  private bufferFor(program: TrainingStep): ArrayBuffer {
    let free = this.spare.get(program);
    if (!free) {
      free = [];
      this.spare.set(program, free);
    }
    return free.pop() ?? new ArrayBuffer(program.step.batch.bytes);
  }
}
