import { Communicator, ringArenaBytes } from '../../collectives/index.js';
import type { RunPlan } from '../../protocol/index.js';
import { fixedBuffers } from '../run/bucket-values.js';
import { EngineParameters } from '../run/engine-parameters.js';
import { replicasOf, shareOf } from '../run/parts.js';
import { RankMemory, type BucketRing, type Spread } from '../run/rank-memory.js';
import type { CompiledRank, Connection, RankOptions, RankPart } from '../run/rank-part.js';
import { Update } from '../run/update.js';
import { peersOf } from './neighbours.js';
import { PipelineEvaluator } from './pipeline-evaluator.js';
import { PipelineTrainer } from './pipeline-trainer.js';
import type { StageModel } from './stage-model.js';
import { openStreams } from './streams.js';

/** The ranks that hold a bucket together. */
interface Holders {
  /** Tells their ring from others. */
  readonly name: string;
  readonly ranks: readonly number[];
  /** Buckets of this rank that they hold, in the order in which all of them have those. */
  readonly buckets: readonly number[];
}

/** A rank of a plan with several stages: it holds those of its pipeline rank. */
export class StageRank implements CompiledRank {
  private parameters: Promise<EngineParameters> | undefined;
  private trainer: PipelineTrainer | undefined;

  private constructor(
    private readonly options: RankOptions<StageModel>,
    private readonly holders: readonly Holders[],
  ) {}

  /** Compiles what a full batch takes. */
  static async compile(options: RankOptions<StageModel>): Promise<StageRank> {
    const { model, plan, rank } = options;
    for (const samples of new Set(plan.ranks[rank]!.samples))
      if (samples > 0) await model.training.for(samples);
    return new StageRank(options, holdersOf(plan, model));
  }

  get arenaBytes(): number {
    const { model, ring } = this.options;
    const rings = 1 + this.holders.length;
    return (
      RankMemory.bytesFor(this.buckets, model.settings[0]!.rule, this.spread) + rings * ringArenaBytes(ring)
    );
  }

  async connect(connection: Connection): Promise<RankPart> {
    const { plan, rank, model, datasets, thread, trace, ledger } = this.options;
    const { transport, addresses, arena, ring, joinSeconds, opened } = connection;
    const join = async (group?: { readonly name: string; readonly ranks: readonly number[] }) => {
      const options = { ...ring, transport, arena, addresses, joinTimeout: joinSeconds };
      const joined = await Communicator.join(group ? { ...options, group } : options);
      opened(joined);
      return joined;
    };
    const { train, validation } = datasets;
    const rows = {
      training: train.length,
      validation: validation ? sizesOf(validation.length, plan.batch) : [],
    };
    const { up, down } = peersOf(plan, rank, rows);
    const [world, streams, ...rings] = await Promise.all([
      join(),
      openStreams([...up, ...down], connection),
      ...this.holders.map(({ name, ranks }) => join({ name, ranks })),
    ]);
    const ringOf = (bucket: number) =>
      rings[this.holders.findIndex(({ buckets }) => buckets.includes(bucket))]!;
    const memory = new RankMemory(arena, this.buckets, model.settings[0]!.rule, this.spread);
    memory.load(model.graph.parameters);
    const fixed = fixedBuffers(model.fixed, model.graph.parameters);
    model.forget();
    this.parameters = EngineParameters.place(thread, memory, fixed, ledger); // a run may be stopped in the middle of it
    const parameters = await this.parameters;
    const update = new Update(plan, memory, { world, of: ringOf }, model.settings);
    const common = { plan, rank, model, parameters, streams };
    const trainer = new PipelineTrainer({ ...common, dataset: train, memory, update, thread, trace, ledger });
    this.trainer = trainer;
    const evaluator = validation && new PipelineEvaluator({ ...common, dataset: validation, world });
    const own = rings[0]!; // that of the replicas
    const first = replicasOf(plan, model.pipelineRank)[0] === rank;
    return {
      step: (step) => trainer.step(step),
      evaluate: (stopped) => evaluator!.evaluate(stopped),
      averageStatistics: () => model.statistics.average(own, shareOf(plan, rank) / plan.batch),
      weights: () => (first ? model.weights(memory.tensors()) : undefined),
      barrier: () => world.barrier(),
    };
  }

  async dispose(): Promise<void> {
    await this.trainer?.dispose();
    await (await this.parameters)?.dispose();
    await this.options.model.dispose();
  }

  private get buckets() {
    return this.options.model.trained.map(({ bucket }) => bucket);
  }

  private get spread(): Spread {
    const { plan, rank } = this.options;
    return {
      sharded: plan.pipeline.shardOptimizer,
      ringOf: (bucket): BucketRing => {
        const { ranks, buckets } = this.holders.find((each) => each.buckets.includes(bucket))!;
        return { size: ranks.length, rank: ranks.indexOf(rank), id: buckets.indexOf(bucket) };
      },
    };
  }
}

/** The rings of a rank: that of its replicas first, whether or not it has a bucket of its own; then those of tied parameters. */
function holdersOf(plan: RunPlan, model: StageModel): readonly Holders[] {
  const keys = new Map<string, number[]>([[String(model.pipelineRank), []]]);
  model.trained.forEach(({ holders }, bucket) => {
    const key = holders.join('+');
    keys.set(key, [...(keys.get(key) ?? []), bucket]);
  });
  return [...keys].map(([key, buckets]) => ({
    name: `stage ${key}`,
    ranks: key.split('+').flatMap((pipelineRank) => replicasOf(plan, Number(pipelineRank))),
    buckets,
  }));
}

/** The sizes of batches that a data set is evaluated in. */
function sizesOf(rows: number, batch: number): readonly number[] {
  return [Math.min(batch, rows), rows % batch].filter((size) => size > 0);
}
