import type { RunPlan } from '../../protocol/index.js';
import type { Bucket } from '../../scheduler/index.js';
import type { ComputeThread } from '../engine/index.js';
import type { MemoryLedger } from '../memory/index.js';
import type { Settings } from '../optimizer/index.js';
import { DeviceUpdate } from './device-update.js';
import type { EngineParameters } from './engine-parameters.js';
import { HostUpdate } from './host-update.js';
import type { RankMemory, Spread } from './rank-memory.js';
import type { Rings } from './rings.js';
import { Update } from './update.js';
import { updatePlace } from './update-place.js';
import { UpdatePrograms } from './update-programs.js';
import type { Updating } from './updating.js';

/** Whose update it is. */
export interface UpdateOwner {
  readonly plan: RunPlan;
  readonly rank: number;
  readonly thread: ComputeThread;
  readonly ledger: MemoryLedger;
  readonly buckets: readonly Bucket[];
  readonly settings: readonly Settings[];
  readonly spread: Spread;
}

/** What an update works on, once the rank has its memory and its rings. */
export interface UpdateSurroundings {
  readonly memory: RankMemory;
  readonly parameters: EngineParameters;
  readonly rings: Rings;
}

/** A rank's update where it is to run, compiled before the rank knows the others. */
export class CompiledUpdate {
  private placed: Promise<Updating> | undefined;

  private constructor(
    private readonly owner: UpdateOwner,
    /** Of the rank's memory. */
    readonly spread: Spread,
    /** Where the update runs and why, for people; undefined where there was nothing to choose. */
    readonly note: string | undefined,
    private readonly programs: UpdatePrograms | undefined,
  ) {}

  /** @throws CompileError, DeviceMemoryError */
  static async compile(owner: UpdateOwner): Promise<CompiledUpdate> {
    const { plan, rank, thread, ledger, buckets, settings, spread } = owner;
    const { updateOnDevice: planned = false, samples } = plan.ranks[rank]!;
    const { onDevice, why } = updatePlace({
      planned,
      keepsValues: thread.keepsValues,
      ringSizes: buckets.map((_, bucket) => spread.ringOf(bucket).size),
    });
    // several stages, or several micro-batches, each leave gradients
    const sums = samples.length * plan.pipeline.stagesPerRank > 1;
    const programs = onDevice
      ? await UpdatePrograms.compile(thread, buckets, settings, sums, ledger)
      : undefined;
    return new CompiledUpdate(owner, { ...spread, onDevice }, why, programs);
  }

  /** Once. */
  place(surroundings: UpdateSurroundings): Promise<Updating> {
    this.placed = this.make(surroundings);
    return this.placed;
  }

  async dispose(): Promise<void> {
    const [placed] = await Promise.allSettled([this.placed]); // a run may end while it is placed
    if (placed.status === 'fulfilled') await placed.value?.dispose();
    await this.programs?.dispose();
  }

  private async make({ memory, parameters, rings }: UpdateSurroundings): Promise<Updating> {
    const { plan, thread, ledger, buckets, settings } = this.owner;
    const { programs } = this;
    if (!programs)
      return new HostUpdate(memory, parameters, new Update(plan, memory, rings, settings), ledger);
    const { world } = rings;
    return DeviceUpdate.place({ plan, world, thread, programs, parameters, buckets, settings, ledger });
  }
}
