import { readFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { Arena } from '../../../collectives/index.js';
import type { RunPlan } from '../../../protocol/index.js';
import { createEngine, type ComputeThread } from '../../../worker/engine/index.js';
import { MOST_SCALARS, settingsOf } from '../../../worker/optimizer/index.js';
import { layoutBuckets } from '../../../scheduler/index.js';
import { DeviceUpdate } from '../../../worker/run/device-update.js';
import { EngineParameters } from '../../../worker/run/engine-parameters.js';
import { RankMemory } from '../../../worker/run/rank-memory.js';
import { UpdatePrograms } from '../../../worker/run/update-programs.js';
import { inProcessThread } from './in-process.js';
import { KeepingEngine } from './keeping-engine.js';
import { pipelined, stagesOf, type Layout } from './pipelines.js';
import { Artifacts, distance, numbersIn } from './plans.js';
import { runRanks, trainOnRanks, type RankHooks } from './ranks.js';
import {
  BATCH,
  BUCKETS,
  onDevice,
  PARAMETER_BYTES,
  smallGraph,
  smallPlan,
  STEPS,
  UPDATES,
} from './update-cases.js';

interface Keeping {
  readonly engines: readonly KeepingEngine[];
  readonly thread: (rank: number) => Promise<ComputeThread>;
}

/** Ranks on engines that keep values as a GPU's does, without a GPU. */
function keeping(t: Test): Keeping {
  const engines: KeepingEngine[] = [];
  return {
    engines,
    thread: async (rank) => {
      const engine = new KeepingEngine(await createEngine('onnxruntime', { threads: 1 }));
      engines[rank] = engine;
      const thread = inProcessThread(engine);
      t.teardown(() => thread.close());
      return thread;
    },
  };
}

function artifactsOf(t: Test): Artifacts {
  const artifacts = new Artifacts();
  t.teardown(() => artifacts.remove());
  return artifacts;
}

for (const [name, change] of Object.entries(UPDATES)) {
  t.test(`${name}: an update on the device is that of the host, and no gradient comes down`, async (t) => {
    const artifacts = artifactsOf(t);
    const plan = smallPlan(artifacts, { ...change, checkpointEverySteps: 5 });
    const checkpoints: Uint8Array[][] = [[], []];
    const saved: Promise<unknown>[] = [];
    const keepCheckpoint = (of: number): NonNullable<RankHooks['report']> => {
      return (_, message) => {
        if (message.kind !== 'checkpoint') return;
        const index = checkpoints[of]!.push(new Uint8Array()) - 1;
        saved.push(readFile(message.path).then((bytes) => (checkpoints[of]![index] = bytes)));
      };
    };
    const { thread, engines } = keeping(t);
    const travelled: { readonly down: number; readonly up: number }[] = [];
    const host = await trainOnRanks(plan, artifacts.paths, { report: keepCheckpoint(0) });
    const device = await trainOnRanks(onDevice(plan), artifacts.paths, {
      thread,
      report: (rank, message, run, threads) => {
        const { down, up } = engines[0]!;
        if (message.kind === 'step') travelled.push({ down, up });
        keepCheckpoint(1)(rank, message, run, threads);
      },
    });
    await Promise.all(saved);
    t.equal(device.steps.length, STEPS);
    for (const [i, step] of device.steps.entries()) {
      t.ok(Math.abs(step.loss - host.steps[i]!.loss) < 1e-5, `loss of step ${i + 1}`);
      t.ok(Math.abs(step.gradientNorm - host.steps[i]!.gradientNorm) < 1e-5, `norm of step ${i + 1}`);
      t.equal(step.learningRate, host.steps[i]!.learningRate);
    }
    t.ok(distance(numbersIn(device.weights), numbersIn(host.weights)) < 1e-5, 'weights');
    t.equal(checkpoints[1]!.length, 2);
    for (const [i, bytes] of checkpoints[1]!.entries())
      t.ok(distance(numbersIn(bytes), numbersIn(checkpoints[0]![i]!)) < 1e-5, `checkpoint ${i + 1}`);
    const [before, after] = [travelled[2]!, travelled[3]!]; // no checkpoint between them
    t.equal(after.down - before.down, 4 + 4 * BUCKETS, 'the loss and a number a bucket come down');
    const batch = BATCH * (6 * 4 + 8) + 4;
    const scalars = 4 * MOST_SCALARS * 2 * BUCKETS;
    const most = 2 * batch + scalars; // a program is given its inputs, and there are several
    t.ok(after.up - before.up <= most, 'a batch and scalars go up');
    t.ok(most < PARAMETER_BYTES, 'and no parameters');
    t.match(
      device.messages.flatMap((message) => (message.kind === 'log' ? [message.message] : [])).join('\n'),
      /stay on the device/,
    );
  });
}

t.test('a step that diverges leaves the parameters as they were', async (t) => {
  const artifacts = artifactsOf(t);
  const change: Partial<RunPlan> = { optimizer: { kind: 'sgd', lr: 1e20 }, checkpointEverySteps: 1 };
  const plan = smallPlan(artifacts, change);
  const outcomes = [];
  for (const hooks of [{}, { thread: keeping(t).thread }]) {
    const kept: Promise<Uint8Array>[] = [];
    const { ranks } = await runRanks('thread' in hooks ? onDevice(plan) : plan, artifacts.paths, {
      ...hooks,
      report: (_, message) => {
        if (message.kind === 'checkpoint') kept.push(readFile(message.path));
      },
    });
    const [rank] = ranks;
    const reason =
      rank?.status === 'rejected' ? (rank.reason as { code?: string; message: string }) : undefined;
    outcomes.push({ reason, kept: await Promise.all(kept) });
  }
  const [host, device] = outcomes;
  t.equal(device!.reason?.code, 'diverged');
  t.equal(device!.reason?.code, host!.reason?.code);
  t.equal(device!.kept.length, host!.kept.length);
});

/** `updating`: ranks that have parameters. */
const PIPELINES: Readonly<Record<string, Layout & { readonly updating: number }>> = {
  'two stages': { updating: 2, replicas: [[1], [1]], kind: '1f1b', microBatches: 3 },
  'two ranks of two stages, one of them without parameters': {
    updating: 1,
    replicas: [[1], [1]],
    kind: 'interleaved',
    microBatches: 2,
    stagesPerRank: 2,
  },
};

t.test('stages add up gradients and update on their devices', async (t) => {
  const artifacts = artifactsOf(t);
  const plan = smallPlan(artifacts, UPDATES['adamw in groups']!);
  const host = await trainOnRanks(plan, artifacts.paths);
  for (const [name, layout] of Object.entries(PIPELINES)) {
    const count = layout.replicas.length * (layout.stagesPerRank ?? 1);
    const names = [...smallGraph.inputs].map(({ name: input }) => input);
    const shapes = Object.fromEntries(names.map((input) => [input, [BATCH, 6]]));
    const stages = stagesOf(smallGraph, { loss: plan.loss, shapes }, count);
    const { thread } = keeping(t);
    const device = await trainOnRanks(onDevice(pipelined(plan, layout, stages)), artifacts.paths, { thread });
    device.steps.forEach(({ loss, gradientNorm }, i) => {
      t.ok(Math.abs(loss - host.steps[i]!.loss) < 1e-5, `${name}: loss of step ${i + 1}`);
      t.ok(Math.abs(gradientNorm - host.steps[i]!.gradientNorm) < 1e-5, `${name}: norm of step ${i + 1}`);
    });
    const notes = device.messages.filter(
      (message) => message.kind === 'log' && message.message.includes('stay on the device'),
    );
    t.equal(notes.length, layout.updating, `${name}: ranks that update say so`);
  }
});

t.test('replicas sum their gradients on the host, whatever their engines keep', async (t) => {
  const artifacts = artifactsOf(t);
  const plan = smallPlan(artifacts, { totalSteps: 3 });
  const ranks = [5, 3].map((samples, i) => ({ ...plan.ranks[0]!, device: `d${i}`, samples: [samples] }));
  const host = await trainOnRanks({ ...plan, ranks }, artifacts.paths);
  const { thread } = keeping(t);
  const device = await trainOnRanks(onDevice({ ...plan, ranks }), artifacts.paths, { thread });
  t.ok(distance(numbersIn(device.weights), numbersIn(host.weights)) < 1e-6);
  const notes = device.messages.flatMap((message) => (message.kind === 'log' ? [message.message] : []));
  t.equal(notes.filter((note) => /on the host, where gradients are summed/.test(note)).length, 2);
});

t.test(
  'a gradient or loss that is not finite changes nothing, and the next step goes on from there',
  async (t) => {
    const { thread: threadOf, engines } = keeping(t);
    const thread = await threadOf(0);
    const buckets = layoutBuckets([{ name: 'w', type: { dtype: 'float32', shape: [2, 3] } }], 1024);
    const { settings } = settingsOf({ kind: 'sgd', lr: 0.5, momentum: 0.9 }, ['w']);
    const ringOf = (id: number) => ({ size: 1, rank: 0, id });
    const spread = { sharded: true, onDevice: true, ringOf };
    const { rule } = settings[0]!;
    const arena = new Arena(RankMemory.bytesFor(buckets, rule, spread), 'test');
    const memory = new RankMemory(arena, buckets, rule, spread);
    const values = memory.buckets[0]!.parameters.values;
    values.set([1, 2, 3, 4, 5, 6]);
    const parameters = await EngineParameters.place(thread, memory, []);
    const programs = await UpdatePrograms.compile(thread, buckets, settings, false);
    const plan = { schedule: { kind: 'constant' as const }, totalSteps: 4, clipNorm: null };
    const world = { allReduceScalars: (own: Float64Array) => Promise.resolve(own) };
    const update = await DeviceUpdate.place({ plan, world, thread, programs, parameters, buckets, settings });
    const step = async (gradient: number, loss: number) => {
      update.begin();
      const gradients = new Float32Array(buckets[0]!.length);
      gradients.fill(gradient, 0, 6);
      await thread.hold(update.target(0, 0), gradients.buffer);
      await update.add([0], 0);
      return update.finish(0, loss);
    };
    for (const [gradient, loss] of [
      [NaN, 1],
      [Infinity, 1],
      [1e20, 1], // its square is beyond float32
      [1, NaN],
    ] as const) {
      await t.rejects(step(gradient, loss), { code: 'diverged' });
      await update.bringBack();
      t.same([...values.subarray(0, 6)], [1, 2, 3, 4, 5, 6]);
    }
    const { gradientNorm } = await step(2, 1);
    t.ok(Math.abs(gradientNorm - 2 * Math.sqrt(6)) < 1e-6);
    await update.bringBack();
    t.same([...values.subarray(0, 6)], [0, 1, 2, 3, 4, 5], 'the velocity of failed steps is nowhere');
    update.begin();
    await t.rejects(update.finish(1, 1), { message: /bucket 0 got no gradients/ });
    await update.dispose();
    await parameters.dispose();
    await programs.dispose();
    t.equal(engines[0]!.kept, 0, 'nothing is left on the device');
  },
);
