import { sharesOf, splitBatch, type Dataset } from '../../data/index.js';
import type { Communicator } from '../../collectives/index.js';
import type { RunPlan } from '../../protocol/index.js';
import type { MemoryLedger } from '../memory/index.js';
import { scoreOf } from './accuracy.js';
import type { EngineParameters } from './engine-parameters.js';
import { feed, view } from './feeder.js';
import { shareOf } from './parts.js';
import type { EvaluationStep } from './rank-model.js';
import type { Programs } from './programs.js';

export interface Evaluation {
  readonly loss: number;
  /** Share of right predictions; undefined where the loss has no notion of right. */
  readonly accuracy: number | undefined;
}

/**
 * Evaluates a data set on all ranks together: each takes a contiguous part in proportion to its share, in
 * batches of the size it trains with. Every rank ends with the same numbers.
 */
export class Evaluator {
  private readonly range: { readonly start: number; readonly end: number };
  private readonly batch: number;

  constructor(
    private readonly plan: RunPlan,
    rank: number,
    private readonly dataset: Dataset,
    private readonly communicator: Communicator,
    private readonly programs: Programs<EvaluationStep>,
    private readonly parameters: EngineParameters,
    private readonly ledger?: MemoryLedger,
  ) {
    const shares = plan.ranks.map((_, each) => shareOf(plan, each));
    this.range = sharesOf(splitBatch(dataset.length, shares))[rank]!;
    this.batch = Math.max(...plan.ranks[rank]!.samples);
  }

  /** @param stopped called between batches; throws where the run was told to end */
  async evaluate(stopped: () => void): Promise<Evaluation> {
    let held = 0;
    const hold = (bytes: number) => {
      this.ledger?.add('batches of the validation', bytes - held);
      held = bytes;
    };
    try {
      return await this.sum(stopped, hold);
    } finally {
      hold(0);
    }
  }

  private async sum(stopped: () => void, hold: (bytes: number) => void): Promise<Evaluation> {
    let loss = 0;
    let correct = 0;
    let counted = 0;
    for (let start = this.range.start; start < this.range.end; start += this.batch) {
      stopped();
      const count = Math.min(this.batch, this.range.end - start);
      const part = await this.part(start, count, hold);
      loss += part.loss * count;
      correct += part.correct;
      counted += part.counted;
    }
    const samples = this.range.end - this.range.start;
    const sums = await this.communicator.allReduceScalars(Float64Array.of(loss, samples, correct, counted));
    return { loss: sums[0]! / sums[1]!, accuracy: sums[3]! > 0 ? sums[2]! / sums[3]! : undefined };
  }

  private async part(start: number, count: number, hold: (bytes: number) => void) {
    const program = await this.programs.for(count);
    const { step } = program;
    const indices = Uint32Array.from({ length: count }, (_, i) => start + i);
    const buffer = new ArrayBuffer(step.batch.bytes);
    hold(step.batch.bytes);
    feed(buffer, step.batch, this.dataset, program.feed, {
      indices,
      first: start,
      lossScale: 1,
      seed: 0,
      step: 0,
    });
    program.statistics.write(buffer);
    let batch = buffer;
    await step.sequence.run([buffer, ...this.parameters.keys], (_segment, returned) => {
      for (const { buffer: back } of returned) batch = back;
    });
    const { shape } = step.batch.fields.get(program.output)!;
    const target = step.batch.fields.get(program.feed.target)!;
    const score = scoreOf(
      this.plan.loss,
      { shape, data: view(batch, step.batch, program.output) as Float32Array },
      { shape: target.shape, data: view(batch, step.batch, target.name) as Float32Array | BigInt64Array },
    );
    const loss = (view(batch, step.batch, program.loss) as Float32Array)[0]!;
    return { loss, correct: score?.correct ?? 0, counted: score?.counted ?? 0 };
  }
}
