import { Sampler, type Dataset } from '../../data/index.js';
import type { RunPlan } from '../../protocol/index.js';
import { InvariantError } from '../../base/index.js';
import type { MemoryLedger } from '../memory/index.js';
import type { TraceRecorder } from '../trace/index.js';
import type { EngineParameters } from './engine-parameters.js';
import { feed, view, type Feed } from './feeder.js';
import { partsOf } from './parts.js';
import type { Programs } from './programs.js';
import type { TrainingStep } from './rank-model.js';
import type { Updated, Updating } from './updating.js';

/** What one step came to. */
export interface StepResult extends Updated {
  /** Samples of the global batch. */
  readonly samples: number;
  /** This rank's own arithmetic, throttling included. */
  readonly computeSeconds: number;
}

/** This rank's part of a micro-batch, read ahead. */
interface Prepared {
  readonly program: TrainingStep;
  readonly buffer: ArrayBuffer;
  /** Its part of the samples of the step. */
  readonly weight: number;
}

/** A part of a step that is to be computed. */
interface Part {
  readonly step: number;
  readonly microBatch: number;
  readonly indices: ArrayLike<number>;
  /** Place of the first of them in the global batch, and the batch's samples. */
  readonly first: number;
  readonly total: number;
}

/** A step as this rank sees it. */
interface StepParts {
  readonly step: number;
  readonly total: number;
  /** Micro-batches of which it has samples. */
  readonly parts: readonly Part[];
}

/**
 * Synchronous data-parallel training of one rank that holds all of the model.
 *
 * A step: each rank computes the gradients of its parts of the micro-batches, weighted by their part of the samples,
 * and adds them up; with the last one buckets are reduced while the backward pass computes the next; then all
 * update. The result is that of one device with the whole batch, whatever the shares. While the compute thread
 * works, the next micro-batch is read.
 */
export class Trainer {
  private readonly sampler: Sampler;
  /** The step after the current one, once it is known, and the part that is read ahead. */
  private next: StepParts | undefined;
  private ahead: Promise<Prepared> | undefined;
  /** Batch buffers not in use, by program. */
  private readonly spare = new Map<TrainingStep, ArrayBuffer[]>();

  constructor(
    private readonly plan: RunPlan,
    private readonly rank: number,
    private readonly dataset: Dataset,
    private readonly programs: Programs<TrainingStep>,
    private readonly parameters: EngineParameters,
    private readonly updating: Updating,
    private readonly trace?: TraceRecorder,
    private readonly ledger?: MemoryLedger,
  ) {
    this.sampler = new Sampler({
      length: dataset.length,
      batch: plan.batch,
      order: 'shuffled',
      seed: plan.seed,
    });
  }

  /**
   * Step number `step` (from 0). All ranks call it with the same number.
   * @throws DivergedError when loss or gradient leave the reals; the parameters are then those before the step
   * @throws CollectiveError when the ring fails; likewise
   */
  async step(step: number, stopped?: () => void): Promise<StepResult> {
    const { parts, total } = this.next ?? this.partsOf(step);
    this.next = step + 1 < this.plan.totalSteps ? this.partsOf(step + 1) : undefined;
    this.updating.begin(this.parameters.trained.map(() => parts.length));
    let loss = 0;
    let computeSeconds = 0;
    for (const [i, part] of parts.entries()) {
      stopped?.();
      const prepared = await (this.ahead ?? this.prepare(part));
      if (part.step !== step) throw new InvariantError(`step ${part.step} was prepared, ${step} is to run`);
      const done = await this.compute(part, prepared, parts[i + 1] ?? this.next?.parts[0]);
      loss += done.loss * prepared.weight;
      computeSeconds += done.seconds;
    }
    const updated = await this.updating.finish(step, loss);
    return { ...updated, samples: total, computeSeconds };
  }

  /** Forward and backward of one part; meanwhile the part after it is read. */
  private async compute(
    part: Part,
    { program, buffer }: Prepared,
    following: Part | undefined,
  ): Promise<{ loss: number; seconds: number }> {
    let loss = NaN;
    program.statistics.write(buffer);
    const buckets = [...this.parameters.trained.keys()];
    const targets = buckets.map((bucket) => this.updating.target(bucket, 0));
    const running = program.step.sequence.run(
      [buffer, ...this.parameters.keys, ...targets],
      (_segment, returned) => {
        for (const { index, buffer: back } of returned) {
          const bucket = index - program.step.gradientBuffer(0);
          if (bucket >= 0) this.updating.returned(bucket, 0, back);
          else {
            loss = (view(back, program.step.batch, program.loss) as Float32Array)[0]!;
            program.statistics.read(back);
            this.spare.get(program)!.push(back);
          }
        }
      },
    );
    this.ahead = following && this.prepare(following);
    this.ahead?.catch(() => undefined); // awaited by the next part, if there is one
    const timings = await running;
    await this.updating.add(buckets, 0);
    const seconds = timings.reduce((sum, t) => sum + t.computeSeconds + t.restSeconds, 0);
    const start = timings[0]!.startedAt;
    this.trace?.add('step', 0, part.microBatch, part.step, start, start + seconds);
    return { loss, seconds };
  }

  /** The view of the epoch's order may go when the next epoch is asked for: what is needed is taken at once. */
  private partsOf(step: number): StepParts {
    const indices = this.sampler.batch(this.sampler.positionOf(step));
    const total = indices.length;
    const parts = partsOf(this.plan, 0, total).flatMap((shares, microBatch): Part[] => {
      const { start, end } = shares[this.rank]!;
      return start === end
        ? [] // a short last batch may leave nothing for this rank: its part of every sum is zero
        : [{ step, microBatch, indices: indices.slice(start, end), first: start, total }];
    });
    return { step, total, parts };
  }

  private async prepare({ step, indices, first, total }: Part): Promise<Prepared> {
    const program = await this.programs.for(indices.length);
    const buffer = this.bufferFor(program);
    const weight = indices.length / total;
    const what: Feed = { indices, first, lossScale: weight, seed: this.plan.seed, step };
    feed(buffer, program.step.batch, this.dataset, program.feed, what);
    return { program, buffer, weight };
  }

  private bufferFor(program: TrainingStep): ArrayBuffer {
    let free = this.spare.get(program);
    if (!free) {
      free = [];
      this.spare.set(program, free);
    }
    const spare = free.pop();
    if (!spare) this.ledger?.add('batches', program.step.batch.bytes);
    return spare ?? new ArrayBuffer(program.step.batch.bytes);
  }
}
