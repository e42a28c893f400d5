import {
  Communicator,
  DEFAULT_STREAM,
  ringArenaBytes,
  ringQueueBytes,
  streamQueueBytes,
} from '../../collectives/index.js';
import type { RunPlan } from '../../protocol/index.js';
import { fixedBuffers } from '../run/bucket-values.js';
import { CompiledUpdate } from '../run/compiled-update.js';
import { EngineParameters } from '../run/engine-parameters.js';
import { replicasOf, shareOf } from '../run/parts.js';
import { RankMemory, type BucketRing, type Spread } from '../run/rank-memory.js';
import type { CompiledRank, Connection, RankOptions, RankPart } from '../run/rank-part.js';
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
    private readonly update: CompiledUpdate,
  ) {}

  /** Compiles what a full batch takes. */
  static async compile(options: RankOptions<StageModel>): Promise<StageRank> {
    const { model, plan, rank, thread, ledger } = options;
    const holders = holdersOf(plan, model);
    const spread = spreadOf(plan, rank, holders);
    const buckets = model.trained.map(({ bucket }) => bucket);
    const { settings } = model;
    const update = await CompiledUpdate.compile({ plan, rank, thread, ledger, buckets, settings, spread });
    const compiled = new StageRank(options, holders, update);
    try {
      for (const samples of new Set(plan.ranks[rank]!.samples))
        if (samples > 0) await model.training.for(samples);
    } catch (error) {
      await compiled.dispose().catch(() => undefined); // where the thread is the trouble, this fails as well
      throw error;
    }
    return compiled;
  }

  get arenaBytes(): number {
    const { model, ring } = this.options;
    const rings = 1 + this.holders.length;
    const { spread } = this.update;
    return RankMemory.bytesFor(this.buckets, model.settings[0]!.rule, spread) + rings * ringArenaBytes(ring);
  }

  get note(): string | undefined {
    return this.update.note;
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
    // what is on its way to this rank: frames of streams, and of rings no more than all gradients, there and back
    const moved = 8 * this.buckets.reduce((sum, { length }) => sum + length, 0);
    const shared = this.holders.some(({ ranks }) => ranks.length > 1);
    const frames = (streams.inboxes.size + streams.outboxes.size) * streamQueueBytes(DEFAULT_STREAM);
    const rounds = shared ? Math.min(ringQueueBytes(ring), moved) : 0;
    ledger.add('messages on their way, at most', frames + rounds);
    const ringOf = (bucket: number) =>
      rings[this.holders.findIndex(({ buckets }) => buckets.includes(bucket))]!;
    const memory = new RankMemory(arena, this.buckets, model.settings[0]!.rule, this.update.spread);
    memory.load(model.graph.parameters);
    const fixed = fixedBuffers(model.fixed, model.graph.parameters);
    model.forget();
    this.parameters = EngineParameters.place(thread, memory, fixed, ledger); // a run may be stopped in the middle of it
    const parameters = await this.parameters;
    const updating = await this.update.place({ memory, parameters, rings: { world, of: ringOf } });
    const common = { plan, rank, model, parameters, streams };
    const trainer = new PipelineTrainer({ ...common, dataset: train, updating, thread, trace, ledger });
    this.trainer = trainer;
    const evaluator = validation && new PipelineEvaluator({ ...common, dataset: validation, world, ledger });
    const own = rings[0]!; // that of the replicas
    const first = replicasOf(plan, model.pipelineRank)[0] === rank;
    return {
      step: (step) => trainer.step(step),
      evaluate: (stopped) => evaluator!.evaluate(stopped),
      averageStatistics: () => model.statistics.average(own, shareOf(plan, rank) / plan.batch),
      weights: async () => {
        if (!first) return undefined;
        await updating.bringBack();
        return model.weights(memory.tensors());
      },
      barrier: () => world.barrier(),
    };
  }

  async dispose(): Promise<void> {
    await this.trainer?.dispose();
    await this.update.dispose();
    await (await this.parameters)?.dispose();
    await this.options.model.dispose();
  }

  private get buckets() {
    return this.options.model.trained.map(({ bucket }) => bucket);
  }
}

function spreadOf(plan: RunPlan, rank: number, holders: readonly Holders[]): Spread {
  return {
    sharded: plan.pipeline.shardOptimizer,
    ringOf: (bucket): BucketRing => {
      const { ranks, buckets } = holders.find((each) => each.buckets.includes(bucket))!;
      return { size: ranks.length, rank: ranks.indexOf(rank), id: buckets.indexOf(bucket) };
    },
  };
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
