import { InvariantError } from '../../base/index.js';
import type { Communicator } from '../../collectives/index.js';
import type { Bucket } from '../../scheduler/index.js';
import type { HeldBuffer } from '../engine/index.js';
import type { MemoryLedger } from '../memory/index.js';
import { MOST_SCALARS, scalarsOf, type Settings } from '../optimizer/index.js';
import { agree, type AgreementPlan } from './agreement.js';
import type { EngineParameters } from './engine-parameters.js';
import { scalarBytes, type UpdatePrograms, type UpdateThread } from './update-programs.js';
import type { Updated, Updating } from './updating.js';

/** Buffers that the compute thread keeps for one bucket. */
interface Kept {
  readonly bytes: number;
  readonly parameters: HeldBuffer;
  /** Gradients, added up. */
  readonly sum: HeldBuffer;
  readonly states: readonly HeldBuffer[];
  /** What an update writes; afterwards it changes places with what it replaces. */
  readonly newParameters: HeldBuffer;
  readonly newStates: readonly HeldBuffer[];
}

/** What an update on the device is made of. */
export interface DeviceUpdateOptions {
  readonly plan: AgreementPlan;
  readonly world: Pick<Communicator, 'allReduceScalars'>;
  readonly thread: UpdateThread;
  readonly programs: UpdatePrograms;
  readonly parameters: EngineParameters;
  readonly buckets: readonly Bucket[];
  readonly settings: readonly Settings[];
  readonly ledger?: MemoryLedger | undefined;
}

/**
 * Parameters, gradients and the optimizer's state stay on the engine's device from step to step: what comes down are the
 * loss and the sum of squares of the gradient, what goes up are a few scalars. For a rank that shares its parameters
 * with nobody.
 *
 * An update writes a bucket's new values beside the old ones and then renames them, for a program may not write what it reads:
 * one bucket at a time is there twice.
 */
export class DeviceUpdate implements Updating {
  /** Contributions that have come in this step, by bucket. */
  private come: number[] = [];
  /** Where gradients wait to be added, by bucket and user. */
  private readonly targets = new Map<string, HeldBuffer>();

  private constructor(
    private readonly options: DeviceUpdateOptions,
    private readonly kept: readonly Kept[],
  ) {}

  /** States start as zeros. */
  static async place(options: DeviceUpdateOptions): Promise<DeviceUpdate> {
    const { thread, parameters, programs, ledger } = options;
    const newKeys = () => Array.from({ length: programs.stateCount }, () => thread.newKey());
    const kept = options.buckets.map(({ length }, bucket): Kept => ({
      bytes: 4 * length,
      parameters: parameters.keys[bucket]!,
      sum: thread.newKey(),
      states: newKeys(),
      newParameters: thread.newKey(),
      newStates: newKeys(),
    }));
    const update = new DeviceUpdate(options, kept);
    for (const { bytes, states } of kept) {
      ledger?.add('gradients of the engine', bytes);
      if (states.length > 0) ledger?.add('optimizer state of the engine', states.length * bytes);
    }
    await Promise.all(
      kept.flatMap((each) => ownKeys(each).map((key) => thread.hold(key, new ArrayBuffer(each.bytes)))),
    );
    return update;
  }

  begin(): void {
    this.come = this.kept.map(() => 0);
  }

  target(bucket: number, user: number): HeldBuffer {
    const { bytes, sum } = this.kept[bucket]!;
    if (!this.options.programs.buckets[bucket]!.sum) return sum;
    const name = `${bucket} ${user}`;
    let key = this.targets.get(name);
    if (key === undefined) {
      key = this.options.thread.newKey();
      this.targets.set(name, key);
      this.options.ledger?.add('gradients of the engine', bytes);
      // where this fails the thread is dead, and says so to whoever runs on it next
      this.options.thread.hold(key, new ArrayBuffer(bytes)).catch(() => undefined);
    }
    return key;
  }

  returned(bucket: number): void {
    throw new InvariantError(`the gradients of bucket ${bucket} stay with the compute thread`);
  }

  async add(buckets: Iterable<number>, user: number): Promise<void> {
    const { thread, programs } = this.options;
    for (const bucket of buckets) {
      const { sum, newParameters: free } = this.kept[bucket]!;
      const program = programs.buckets[bucket]!.sum;
      const first = this.come[bucket]!++ === 0;
      if (!program) {
        if (!first) throw new InvariantError(`bucket ${bucket} got a second contribution`);
        continue;
      }
      const more = this.target(bucket, user);
      if (first) await thread.exchange([{ from: more, to: sum }]);
      else
        await Promise.all([
          program.run([sum, more, free], nothing),
          thread.exchange([{ from: free, to: sum }]),
        ]);
    }
  }

  async finish(step: number, loss: number): Promise<Updated> {
    const { plan, world, settings } = this.options;
    const missing = this.come.indexOf(0);
    if (missing >= 0) throw new InvariantError(`bucket ${missing} got no gradients in step ${step}`);
    const { scalars, ...updated } = await agree(world, plan, settings, {
      step,
      loss,
      squares: await this.sumOfSquares(),
    });
    const values = new Float32Array(scalarBytes(settings) / 4);
    settings.forEach(({ rule }, group) => values.set(scalarsOf(rule, scalars[group]!), MOST_SCALARS * group));
    // asked for at once: the thread goes from bucket to bucket without waiting for this one
    await Promise.all(this.kept.flatMap((each, bucket) => this.update(each, bucket, values.slice().buffer)));
    return updated;
  }

  bringBack(): Promise<void> {
    return this.options.parameters.bringBack();
  }

  async dispose(): Promise<void> {
    await this.options.thread.drop([...this.targets.values(), ...this.kept.flatMap(ownKeys)]);
  }

  private update(each: Kept, bucket: number, scalars: ArrayBuffer): readonly Promise<unknown>[] {
    const { parameters, sum, states, newParameters, newStates } = each;
    const { thread, programs } = this.options;
    return [
      programs.buckets[bucket]!.update.run(
        [scalars, parameters, sum, ...states, newParameters, ...newStates],
        nothing,
      ),
      thread.exchange([
        { from: newParameters, to: parameters },
        ...states.map((state, i) => ({ from: newStates[i]!, to: state })),
      ]),
    ];
  }

  /** Of all gradients: one number a bucket comes down. */
  private async sumOfSquares(): Promise<number> {
    let squares = 0;
    const sums = new ArrayBuffer(4 * this.kept.length);
    await this.options.programs.squares.run([sums, ...this.kept.map(({ sum }) => sum)], (_, returned) => {
      for (const { buffer } of returned) for (const value of new Float32Array(buffer)) squares += value;
    });
    return squares;
  }
}

/** What is kept beside the parameters, which are somebody else's. */
function ownKeys({ sum, states, newParameters, newStates }: Kept): readonly HeldBuffer[] {
  return [sum, newParameters, ...states, ...newStates];
}

function nothing(): void {
  // what comes back are the scalars, which nobody needs again
}
