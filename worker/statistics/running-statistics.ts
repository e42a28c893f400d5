import type { Communicator } from '../../collectives/index.js';
import type { BatchStatistics, Tensor } from '../../graph/index.js';
import { InvariantError } from '../../base/index.js';
import { fold, foldsOf, type Fold } from './fold.js';

/** Where a step's buffer holds its values. */
interface Fields {
  readonly fields: ReadonlyMap<string, { readonly byteOffset: number }>;
}

/** What `average` needs of a Communicator. */
export type Summing = Pick<Communicator, 'worldSize' | 'allReduceScalars'>;

/**
 * The running statistics of a model's BatchNormalizations on one rank: state of the training beside the parameters,
 * float32, [C] each. Every step moves them towards those of the rank's own part of the batch; `average` makes them
 * those of all ranks.
 *
 * The unbiased variance is folded in, as in PyTorch and in Keras' fused layer: docs/decisions/12-running-statistics.md.
 */
export class RunningStatistics {
  private readonly values: ReadonlyMap<string, Float32Array>;

  /** @param start by name: `runningStatistics` of the model; copied */
  constructor(private readonly start: ReadonlyMap<string, Tensor>) {
    this.values = new Map(
      [...start].map(([name, { data }]) => [name, Float32Array.from(data as Float32Array)]),
    );
  }

  /** Views, by name; they change with every step. */
  tensors(): ReadonlyMap<string, Tensor> {
    return new Map(
      [...this.values].map(([name, data]) => [
        name,
        { dtype: 'float32', shape: this.start.get(name)!.shape, data },
      ]),
    );
  }

  /** The live values of one. */
  of(name: string): Float32Array {
    const found = this.values.get(name);
    if (!found) throw new InvariantError(`"${name}" is no running statistic of this model`);
    return found;
  }

  /**
   * Ties the statistics to a compiled step.
   * @param statistics which the step's result holds, in the order in which they are folded
   * @param running those that the step reads
   */
  forStep(
    statistics: readonly BatchStatistics[],
    running: readonly string[],
    { fields }: Fields,
  ): StepStatistics {
    const at = (name: string) => fields.get(name)!.byteOffset / Float32Array.BYTES_PER_ELEMENT;
    const folds = foldsOf(statistics, (name) => this.of(name)).map(({ output, fold }) => ({
      at: at(output),
      fold,
    }));
    return new StepStatistics(
      folds,
      running.map((name) => ({ at: at(name), values: this.of(name) })),
    );
  }

  /**
   * Gives every rank the mean of all ranks' running statistics, weighted by their shares. A collective: every rank
   * calls it at the same point, and all end with the same bits. Folding is linear, so it does not matter how often.
   * @param weight this rank's part of the samples; the ranks' weights sum to 1
   * @throws CollectiveError when the ring fails
   */
  async average(communicator: Summing, weight: number): Promise<void> {
    if (communicator.worldSize === 1 || this.values.size === 0) return;
    const all = [...this.values.values()];
    const weighted = new Float64Array(all.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const values of all) for (const value of values) weighted[at++] = weight * value;
    const sums = await communicator.allReduceScalars(weighted);
    at = 0;
    for (const values of all) {
      values.set(sums.subarray(at, at + values.length));
      at += values.length;
    }
  }
}

/** The running statistics as one compiled step has to do with them. */
export class StepStatistics {
  /** @param places indices into the step's buffer, in float32 elements */
  constructor(
    private readonly folds: readonly { readonly at: number; readonly fold: Fold }[],
    private readonly inputs: readonly { readonly at: number; readonly values: Float32Array }[],
  ) {}

  /** Before the step: what it reads, as of now. */
  write(batch: ArrayBuffer): void {
    if (this.inputs.length === 0) return;
    const elements = new Float32Array(batch);
    for (const { at, values } of this.inputs) elements.set(values, at);
  }

  /** After the step: what it found. */
  read(batch: ArrayBuffer): void {
    if (this.folds.length === 0) return;
    const elements = new Float32Array(batch);
    for (const { at, fold: how } of this.folds) fold(how, elements, at);
  }
}
