import t from 'tap';
import { Arena, type Communicator } from '../../../collectives/index.js';
import { buildStages } from '../../../graph/index.js';
import { linear, model, relu, sequential, tensor } from '../../../graph/nn/index.js';
import type { RunPlan } from '../../../protocol/index.js';
import { layoutBuckets } from '../../../scheduler/index.js';
import type { ComputeThread } from '../../../worker/engine/index.js';
import { Ahead } from '../../../worker/pipeline/ahead.js';
import { MicroBatch } from '../../../worker/pipeline/micro-batch.js';
import { Pools } from '../../../worker/pipeline/pools.js';
import { backwardFollows } from '../../../worker/pipeline/program.js';
import { bucketsOf } from '../../../worker/pipeline/stage-buckets.js';
import type { CompiledStage } from '../../../worker/pipeline/compiled-stage.js';
import { BUFFERS, type BufferName } from '../../../worker/pipeline/stage-step.js';
import { ruleOf, settingsOf, type Settings } from '../../../worker/optimizer/index.js';
import { Update } from '../../../worker/run/update.js';
import { Gradients } from '../../../worker/run/gradients.js';
import { RankMemory } from '../../../worker/run/rank-memory.js';

t.test('messages are asked for two ahead, in order, and each once', async (t) => {
  const asked: number[] = [];
  const ahead = new Ahead([0, 1, 2, 3], (one) => {
    asked.push(one);
    return Promise.resolve();
  });
  t.same(asked, [0, 1]);
  await ahead.take(0);
  t.same(asked, [0, 1, 2]);
  await ahead.take(1);
  await ahead.take(2);
  await ahead.take(3);
  t.same(asked, [0, 1, 2, 3]);
  const failing = new Ahead([0], () => Promise.reject(new Error('gone')));
  await new Promise((resolve) => setImmediate(resolve)); // nobody has taken it yet: no unhandled rejection
  await t.rejects(failing.take(0), { message: 'gone' });
});

/** A thread that keeps buffers and counts them. */
function fakeThread() {
  const held = new Map<number, ArrayBuffer>();
  let keys = 0;
  const thread = {
    newKey: () => ++keys,
    hold: (key: number, buffer: ArrayBuffer) => Promise.resolve(held.set(key, buffer)),
    take: (taken: readonly number[]) => Promise.resolve(taken.filter((key) => held.delete(key))),
  };
  return { held, thread: thread as unknown as ComputeThread };
}

/** A stage of which each program takes these buffers. */
function stageOf(bytes: number, ...uses: readonly (readonly BufferName[])[]): CompiledStage {
  const last = (name: BufferName) =>
    Math.max(
      0,
      uses.findLastIndex((phase) => phase.includes(name)),
    );
  const step = { bytesOf: () => bytes, lastUse: last, phases: uses.map((names) => ({ uses: names })) };
  return { step } as unknown as CompiledStage;
}

t.test('the buffers of a micro-batch go back when nobody needs them, and are used again', async (t) => {
  const { held, thread } = fakeThread();
  const pools = new Pools(thread);
  const stage = stageOf(64, ['batch', 'received', 'sent', 'kept'], ['receivedGradients', 'sent', 'kept']);
  pools.fit(stage.step);
  const own = new MicroBatch(stage, pools);
  const [batch, received, sent] = (['batch', 'received', 'sent'] as const).map((name) => own.get(name));
  own.hold('sent');
  const [, , , slot] = own.forPhase(['batch', 'received', 'sent', 'kept']);
  t.equal(held.size, 1);
  own.advance();
  t.equal(pools.take('batch'), batch, 'nothing takes it any more');
  t.equal(pools.take('received'), received);
  t.not(pools.take('sent'), sent, 'the backward pass takes it');
  let arrive = () => {};
  own.sending(
    'sent',
    new Promise<void>((resolve) => (arrive = resolve)).then(() => own.release('sent')),
  );
  let ready = false;
  const waiting = own.ready(['receivedGradients', 'sent', 'kept']).then(() => (ready = true));
  await new Promise((resolve) => setImmediate(resolve));
  t.notOk(ready, 'the program waits until nobody sends from its buffers');
  arrive();
  await waiting;
  t.same(own.forPhase(['sent', 'kept']), [sent, slot]);
  own.advance();
  t.equal(pools.take('sent'), sent);
  t.equal(pools.takeSlot(), slot);
  await pools.dispose();
  t.equal(held.size, 0);
});

t.test('a buffer that is still sent when its last program is over goes back when it has arrived', (t) => {
  const pools = new Pools(fakeThread().thread);
  const stage = stageOf(64, ['batch', 'sent'], ['batch']);
  pools.fit(stage.step);
  const own = new MicroBatch(stage, pools);
  const sent = own.get('sent');
  own.hold('sent');
  own.advance();
  t.not(pools.take('sent'), sent);
  own.release('sent');
  t.equal(pools.take('sent'), sent);
  t.end();
});

t.test('buffers are as large as the largest micro-batch needs, and are made anew for a larger one', (t) => {
  const { held, thread } = fakeThread();
  const pools = new Pools(thread);
  const fit = (bytes: number) => pools.fit(stageOf(bytes, BUFFERS).step);
  fit(64);
  const small = pools.take('batch');
  const slot = pools.takeSlot();
  pools.give('batch', small);
  pools.giveSlot(slot);
  fit(128);
  t.equal(pools.take('batch').byteLength, 128);
  t.equal(pools.takeSlot(), slot);
  t.equal(held.get(slot)!.byteLength, 128);
  fit(32);
  t.equal(pools.take('sent').byteLength, 128);
  t.end();
});

t.test('gradients: the first is copied, others are added, and a bucket without any is zero', (t) => {
  const type = { dtype: 'float32' as const, shape: [2] };
  const buckets = layoutBuckets(
    ['a', 'b'].map((name) => ({ name, type, group: 0 })),
    8,
  );
  t.equal(buckets.length, 2);
  const spread = { sharded: false, ringOf: (id: number) => ({ size: 1, rank: 0, id }) };
  const arena = new Arena(4096, 'test');
  const memory = new RankMemory(arena, buckets, ruleOf({ kind: 'sgd', lr: 0.1 }), spread);
  const complete: number[] = [];
  const gradients = new Gradients(memory, (bucket) => complete.push(bucket));
  const [a, b] = memory.buckets.map((bucket) => bucket.gradients.values);
  for (const _step of [1, 2]) {
    complete.length = 0;
    b!.fill(7);
    gradients.begin([2, 0]);
    t.same(complete, [1]);
    t.equal(b![0], 0);
    gradients.add(0, new Float32Array(a!.length).fill(1));
    t.same(complete, [1]);
    gradients.add(0, new Float32Array(a!.length).fill(2));
    t.same(complete, [1, 0]);
    t.equal(a![0], 3);
    t.throws(() => gradients.add(0, a!), { message: /all of its gradients already/ });
  }
  t.end();
});

t.test('backward follows forward at once where only one micro-batch is on its way', (t) => {
  const ranks = [0, 1].map((pipelineRank) => ({ pipelineRank })) as unknown as RunPlan['ranks'];
  const plan = (kind: 'gpipe' | '1f1b' | 'zero-bubble', microBatches: number) => ({
    ranks,
    pipeline: { kind, microBatches, stagesPerRank: 1, shardOptimizer: true, stages: [] },
  });
  t.ok(backwardFollows(plan('1f1b', 4), 1));
  t.notOk(backwardFollows(plan('1f1b', 4), 0));
  t.notOk(backwardFollows(plan('gpipe', 4), 1));
  t.ok(backwardFollows(plan('gpipe', 1), 1));
  t.notOk(backwardFollows(plan('zero-bubble', 4), 1));
  t.end();
});

t.test('buckets: each name once on a rank, tied ones alike on all who hold them', (t) => {
  const { graph } = model({
    input: tensor(4),
    layers: sequential(linear(4), relu(), linear(4), relu(), linear(4), relu(), linear(4)),
  });
  // the first and the last layer share their weights
  const names = [...graph.parameters.keys()];
  const [first, last] = [names.find((n) => /weight/.test(n))!, names.findLast((n) => /weight/.test(n))!];
  const parameters = new Map([...graph.parameters].filter(([name]) => name !== last));
  const nodes = graph.nodes.map((node) => ({
    ...node,
    inputs: node.inputs.map((input) => (input === last ? first : input)),
  }));
  const tied = { ...graph, parameters, nodes };
  const options = {
    loss: 'cross_entropy' as const,
    shapes: { [graph.inputs[0]!.name]: [2, 4] },
    targetShape: [2],
  };
  const stages = [['0/Gemm', '1/Relu'], ['2/Gemm', '3/Relu'], ['4/Gemm', '5/Relu'], ['6/Gemm']];
  const trained = [...parameters.keys()].filter((name) => !name.startsWith('2'));
  const built = buildStages(tied, { ...options, stages, parameters: trained });
  for (const pipelineRanks of [4, 2]) {
    const all = Array.from({ length: pipelineRanks }, (_, pipelineRank) =>
      bucketsOf(tied, built, { pipelineRanks, pipelineRank }, () => 0, 32),
    );
    const alike = new Map<string, string>();
    const seen = new Set<string>();
    all.forEach(({ trained: buckets, fixed }, pipelineRank) => {
      const own = [...buckets.map(({ bucket }) => bucket), ...fixed].flatMap(({ places }) =>
        places.map(({ name }) => name),
      );
      t.equal(new Set(own).size, own.length, 'each name once');
      for (const name of own) seen.add(name);
      const byHolders = new Map<string, string[]>();
      for (const { bucket, holders } of buckets) {
        t.ok(holders.includes(pipelineRank));
        const layout = bucket.places.map(({ name, offset }) => `${name}@${offset}`).join();
        byHolders.set(holders.join(), [...(byHolders.get(holders.join()) ?? []), layout]);
      }
      for (const [holders, layouts] of byHolders) {
        const other = alike.get(holders);
        if (other !== undefined) t.equal(layouts.join('|'), other, `buckets of ${holders}`);
        alike.set(holders, layouts.join('|'));
      }
    });
    t.same([...seen].sort(), [...parameters.keys()].sort(), 'all of the model is somewhere');
    const both = pipelineRanks === 4 ? '0,3' : '0,1';
    t.ok(alike.has(both), `the tied one is held by ${both}: ${[...alike.keys()].join(' ')}`);
  }
  t.end();
});

t.test('the buckets of a ring are reduced in one order, in whatever order they are complete', async (t) => {
  const type = { dtype: 'float32' as const, shape: [2] };
  const buckets = layoutBuckets(
    ['a', 'b', 'c'].map((name) => ({ name, type, group: 0 })),
    8,
  );
  const spread = { sharded: false, ringOf: (id: number) => ({ size: 1, rank: 0, id }) };
  const settings: Settings[] = settingsOf({ kind: 'sgd', lr: 0.1 }, ['a', 'b', 'c']).settings.slice();
  const memory = new RankMemory(new Arena(8192, 'test'), buckets, settings[0]!.rule, spread);
  const reduced: string[] = [];
  const ring = (name: string) =>
    ({
      allReduce: ({ id }: { id: number }) => Promise.resolve(void reduced.push(`${name}${id}`)),
      allReduceScalars: (values: Float64Array) => Promise.resolve(values),
    }) as unknown as Communicator;
  const [own, tied] = [ring('own'), ring('tied')];
  const plan = {
    schedule: { kind: 'constant' as const },
    totalSteps: 2,
    clipNorm: null,
    pipeline: { shardOptimizer: false },
  };
  const update = new Update(plan, memory, { world: own, of: (id) => (id === 1 ? tied : own) }, settings);
  for (const order of [
    [2, 1, 0],
    [0, 2, 1],
  ]) {
    reduced.length = 0;
    for (const bucket of order) update.reduce(bucket);
    t.same(
      reduced.filter((each) => each.startsWith('own')),
      ['own0', 'own2'],
    );
    t.equal(reduced.length, 3);
    await update.finish(0, 1, () => Promise.resolve());
  }
});
