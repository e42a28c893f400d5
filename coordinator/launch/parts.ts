import type { Sha256 } from '../../base/index.js';
import type { RunPlan } from '../../protocol/index.js';

/** A moment of a run whose weights are handed over: a step, or its end. */
export type Moment = number | 'end';

/**
 * Gathers weights that come in parts: of every pipeline rank its first replica hands over those of its stages. Parts
 * come in any order, and those of several checkpoints at once.
 */
export class WeightParts {
  /** By rank: the pipeline rank that it hands over for. */
  private readonly reporters: ReadonlyMap<number, number>;
  private readonly gathered = new Map<Moment, Map<number, Sha256>>();

  constructor(private readonly ranks: RunPlan['ranks']) {
    const first = new Map<number, number>();
    ranks.forEach(({ pipelineRank }, rank) => {
      if (!first.has(pipelineRank)) first.set(pipelineRank, rank);
    });
    this.reporters = new Map([...first].map(([pipelineRank, rank]) => [rank, pipelineRank]));
  }

  /**
   * @param sha256 of the part; '' where there is none
   * @returns all parts in the order of the pipeline ranks, once the last of them has come
   */
  add(moment: Moment, rank: number, sha256: Sha256): readonly Sha256[] | undefined {
    const pipelineRank = this.reporters.get(rank);
    if (pipelineRank === undefined || sha256 === '') return undefined;
    const parts = this.gathered.get(moment) ?? new Map<number, Sha256>();
    this.gathered.set(moment, parts.set(pipelineRank, sha256));
    if (parts.size < this.reporters.size) return undefined;
    this.gathered.delete(moment);
    return [...parts].sort(([a], [b]) => a - b).map(([, part]) => part);
  }

  /** Devices that have not handed over their parts. */
  missing(moment: Moment): readonly string[] {
    const parts = this.gathered.get(moment);
    return [...this.reporters]
      .filter(([, pipelineRank]) => !parts?.has(pipelineRank))
      .map(([rank]) => this.ranks[rank]!.device);
  }
}
