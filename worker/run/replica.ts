import { Communicator, ringArenaBytes, ringQueueBytes } from '../../collectives/index.js';
import type { Tensor } from '../../graph/index.js';
import type { RunPlan } from '../../protocol/index.js';
import { fixedBuffers } from './bucket-values.js';
import { CompiledUpdate } from './compiled-update.js';
import { EngineParameters } from './engine-parameters.js';
import { Evaluator } from './evaluator.js';
import { shareOf } from './parts.js';
import { RankMemory, type Spread } from './rank-memory.js';
import type { RankModel } from './rank-model.js';
import type { CompiledRank, Connection, RankOptions, RankPart } from './rank-part.js';
import { placeIn, worldRing } from './rings.js';
import { Trainer } from './trainer.js';

/** A rank of a plan with one stage: it holds all of the model. */
export class Replica implements CompiledRank {
  private parameters: Promise<EngineParameters> | undefined;

  private constructor(
    private readonly options: RankOptions<RankModel>,
    private readonly update: CompiledUpdate,
  ) {}

  /** Compiles what a full batch takes. */
  static async compile(options: RankOptions<RankModel>): Promise<Replica> {
    const { model, plan, rank, thread, ledger } = options;
    const spread = spreadOf(plan, { worldSize: plan.ranks.length, rank });
    const { buckets, settings } = model;
    const update = await CompiledUpdate.compile({ plan, rank, thread, ledger, buckets, settings, spread });
    const compiled = new Replica(options, update);
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
    const { spread } = this.update;
    return RankMemory.bytesFor(model.buckets, model.settings[0]!.rule, spread) + ringArenaBytes(ring);
  }

  get note(): string | undefined {
    return this.update.note;
  }

  async connect(connection: Connection): Promise<RankPart> {
    const { model, plan, rank, datasets, thread, trace, ledger } = this.options;
    const { transport, addresses, arena, ring, joinSeconds, opened } = connection;
    const world = await Communicator.join({ ...ring, transport, arena, addresses, joinTimeout: joinSeconds });
    opened(world);
    // what is on its way to this rank; no more than all gradients, there and back
    const moved = 8 * model.buckets.reduce((sum, { length }) => sum + length, 0);
    if (world.worldSize > 1)
      ledger.add('messages on their way, at most', Math.min(ringQueueBytes(ring), moved));
    const memory = new RankMemory(arena, model.buckets, model.settings[0]!.rule, this.update.spread);
    memory.load(model.graph.parameters);
    const fixed = fixedBuffers(model.fixed, model.graph.parameters);
    model.forget();
    this.parameters = EngineParameters.place(thread, memory, fixed, ledger); // a run may be stopped in the middle of it
    const parameters = await this.parameters;
    const updating = await this.update.place({ memory, parameters, rings: worldRing(world) });
    const { train, validation } = datasets;
    const trainer = new Trainer(plan, rank, train, model.training, parameters, updating, trace, ledger);
    const evaluator =
      validation && new Evaluator(plan, rank, validation, world, model.evaluation, parameters, ledger);
    return {
      step: (step, stopped) => trainer.step(step, stopped),
      evaluate: (stopped) => evaluator!.evaluate(stopped),
      averageStatistics: () => model.statistics.average(world, shareOf(plan, rank) / plan.batch),
      weights: async (): Promise<ReadonlyMap<string, Tensor> | undefined> => {
        if (rank !== 0) return undefined;
        await updating.bringBack();
        return model.weights(memory.tensors());
      },
      barrier: () => world.barrier(),
    };
  }

  async dispose(): Promise<void> {
    await this.update.dispose();
    await (await this.parameters)?.dispose();
    await this.options.model.dispose();
  }
}

function spreadOf(plan: RunPlan, world: Pick<Communicator, 'worldSize' | 'rank'>): Spread {
  return { ringOf: (bucket) => placeIn(world, bucket), sharded: plan.pipeline.shardOptimizer };
}
