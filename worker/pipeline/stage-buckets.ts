import type { Graph, StageGraphs } from '../../graph/index.js';
import { layoutBuckets, type Bucket, type Packed } from '../../scheduler/index.js';

/** A bucket of a pipeline rank, and who holds it. */
export interface HeldBucket {
  readonly bucket: Bucket;
  /** Pipeline ranks that use its parameters, ascending: more than one where they are tied. */
  readonly holders: readonly number[];
}

export interface StageBuckets {
  /** Of trained parameters, in the order in which they are reduced. */
  readonly trained: readonly HeldBucket[];
  /** One, or none, of the parameters that are used and have no gradient. */
  readonly fixed: readonly Bucket[];
}

/**
 * Packs the parameters of one pipeline rank: those of its last stage first, whose gradients are complete first; those
 * that other pipeline ranks use as well in buckets of their own, which are the same on all of their holders. Linear in
 * the parameters and their uses.
 * @param stages of the whole model, for any number of samples: which parameters have gradients does not depend on it
 */
export function bucketsOf(
  graph: Graph,
  stages: readonly StageGraphs[],
  { pipelineRanks, pipelineRank }: { readonly pipelineRanks: number; readonly pipelineRank: number },
  groupOf: (parameter: string) => number,
  bucketBytes: number,
): StageBuckets {
  const holders = new Map<string, Set<number>>();
  const differentiated = new Set<string>();
  stages.forEach(({ parameters, gradients }, stage) => {
    for (const name of parameters) {
      const known = holders.get(name) ?? new Set();
      holders.set(name, known.add(stage % pipelineRanks));
    }
    for (const name of gradients.keys()) differentiated.add(name);
  });
  const pack = (name: string): Packed => ({ name, type: graph.parameters.get(name)!, group: groupOf(name) });
  const own = stages.filter((_, stage) => stage % pipelineRanks === pipelineRank);
  const placed = new Set<string>();
  const trained: HeldBucket[] = [];
  const add = (names: readonly string[], held: readonly number[]) => {
    for (const name of names) placed.add(name);
    for (const bucket of layoutBuckets(names.map(pack), bucketBytes)) {
      const index = trained.length;
      const places = bucket.places.map((place) => ({ ...place, bucket: index }));
      trained.push({ bucket: { ...bucket, places }, holders: held });
    }
  };
  for (const { parameters } of [...own].reverse()) {
    const alone = (name: string) =>
      differentiated.has(name) && holders.get(name)!.size === 1 && !placed.has(name);
    add(parameters.filter(alone), [pipelineRank]);
  }
  // in the model's order, so that all holders have them alike
  const mine = [...graph.parameters.keys()].filter((name) => holders.get(name)?.has(pipelineRank));
  const tied = new Map<string, string[]>();
  for (const name of mine.filter((each) => differentiated.has(each) && !placed.has(each))) {
    const key = [...holders.get(name)!].sort((a, b) => a - b).join();
    tied.set(key, [...(tied.get(key) ?? []), name]);
  }
  for (const [key, names] of [...tied].sort(([a], [b]) => (a < b ? -1 : 1)))
    add(names, key.split(',').map(Number));
  const fixed = mine.filter((name) => !differentiated.has(name));
  return { trained, fixed: layoutBuckets(fixed.map(pack), Infinity) };
}
