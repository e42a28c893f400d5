import t, { type Test } from 'tap';
import { GraphBuilder, type TypedGraph } from '../../../graph/index.js';
import { standardOperators } from '../../../graph/operators/index.js';
import {
  ComputeThread,
  ComputeThreadError,
  type SequencePlan,
  type ThreadOptions,
} from '../../../worker/engine/index.js';

/** y = x + x over n elements. */
function doubling(n: number): TypedGraph {
  const g = new GraphBuilder(standardOperators);
  g.input('x', { dtype: 'float32', shape: [n] });
  return g.build('double', [g.one('Add', ['x', 'x'])]);
}

/** One of them for all tests that ask for nothing particular. */
const plain = await ComputeThread.start({ engine: 'onnxruntime', threads: 1 });
t.teardown(() => plain.close());

async function start(t: Test, options?: Partial<ThreadOptions>): Promise<ComputeThread> {
  if (!options) return plain;
  const thread = await ComputeThread.start({ engine: 'onnxruntime', threads: 1, ...options });
  t.teardown(() => thread.close());
  return thread;
}

/** Doubles buffer 0 into 1 into 2 into 3, where 1 stays with the thread; 0 and 2 leave as soon as they are done. */
async function chain(thread: ComputeThread, n: number) {
  const { program } = await thread.compile(doubling(n));
  const at = (buffer: number) => [{ buffer, byteOffset: 0 }];
  const plan: SequencePlan = {
    buffers: (['travelling', 'resident', 'travelling', 'travelling'] as const).map((kind) => ({
      bytes: 4 * n,
      kind,
    })),
    segments: [
      { program, inputs: at(0), outputs: at(1), release: [0] },
      { program, inputs: at(1), outputs: at(2), release: [] },
      { program, inputs: at(2), outputs: at(3), release: [] },
    ],
  };
  return { program, plan, sequence: await thread.prepare(plan) };
}

void t.test('a sequence runs on buffers that travel there and back', async (t) => {
  const thread = await start(t);
  t.match(thread.device, /^cpu, 1 thread$/);
  const { sequence } = await chain(thread, 3);
  let [input, middle, last] = [Float32Array.of(1, 2, 3).buffer, new ArrayBuffer(12), new ArrayBuffer(12)];
  for (let round = 0; round < 3; round++) {
    const order: number[] = [];
    const sent = [input, undefined, middle, last];
    const running = sequence.run(sent, (segment, buffers) => {
      for (const { index, buffer } of buffers) {
        order.push(10 * segment + index);
        if (index === 0) input = buffer;
        else if (index === 2) middle = buffer;
        else last = buffer;
      }
    });
    t.equal(sent[0]?.byteLength, 0, 'handed over, not copied');
    const timings = await running;
    t.same(order, [0, 22, 23]);
    t.equal(timings.length, 3);
    t.ok(timings.every(({ computeSeconds, restSeconds }) => computeSeconds > 0 && restSeconds < 0.01));
    t.same([...new Float32Array(input)], [1, 2, 3]);
    t.same([...new Float32Array(middle)], [4, 8, 12]);
    t.same([...new Float32Array(last)], [8, 16, 24]);
  }
});

void t.test(
  'the caller is not blocked, and a buffer comes back while the next segment computes',
  async (t) => {
    // slow on purpose: each segment takes a while
    const thread = await start(t, { engine: 'reference', speed: 0.2 });
    const { sequence } = await chain(thread, 100_000);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    t.teardown(() => clearInterval(timer));
    const times: number[] = [];
    const begin = performance.now();
    const buffers = [0, 1, 2, 3].map((i) => (i === 1 ? undefined : new ArrayBuffer(400_000)));
    const timings = await sequence.run(buffers, () => times.push(performance.now() - begin));
    const total = performance.now() - begin;
    t.ok(ticks > 2, `${ticks} ticks of the caller's clock in ${total} ms`);
    const later =
      1000 * timings.slice(1).reduce((sum, part) => sum + part.computeSeconds + part.restSeconds, 0);
    t.ok(times[1]! - times[0]! > later / 2, `first buffers after ${times[0]} ms, last after ${times[1]} ms`);
  },
);

void t.test('a throttled thread rests in proportion', async (t) => {
  const thread = await start(t, { engine: 'reference', speed: 0.25 });
  const { sequence } = await chain(thread, 100_000);
  const buffers = [0, 1, 2, 3].map((i) => (i === 1 ? undefined : new ArrayBuffer(400_000)));
  for (const { computeSeconds, restSeconds } of await sequence.run(buffers, () => undefined)) {
    t.ok(restSeconds > 2.8 * computeSeconds, `${restSeconds} s of rest after ${computeSeconds} s`);
  }
});

void t.test('errors of the thread are those of the engine, and it goes on', async (t) => {
  const thread = await start(t);
  const { program, plan, sequence } = await chain(thread, 2);
  const bad = { ...plan, segments: [{ ...plan.segments[0]!, inputs: [{ buffer: 0, byteOffset: 4 }] }] };
  await t.rejects(thread.prepare(bad), { family: 'bug', message: /bytes 4 to 12 of buffer 0/ });
  const node = { name: 'odd', operator: 'NoSuch', domain: '', inputs: ['x'], outputs: ['y'], attributes: {} };
  const wrong = { ...doubling(2), nodes: [node], outputs: ['y'] };
  const types = new Map([...wrong.types, ['y', wrong.types.get('x')!]]);
  await t.rejects(thread.compile({ ...wrong, types }), { code: 'compile_failed', ids: { node: 'odd' } });
  const buffers = (bytes: number) => [
    new ArrayBuffer(bytes),
    undefined,
    new ArrayBuffer(8),
    new ArrayBuffer(8),
  ];
  await t.rejects(
    sequence.run(buffers(4), () => undefined),
    { message: /buffer 0 has 4 bytes, the sequence needs 8/ },
  );
  await t.rejects(
    sequence.run([new ArrayBuffer(8)], () => undefined),
    { message: /buffer 2 has no bytes/ },
  );
  const shared = new SharedArrayBuffer(8) as unknown as ArrayBuffer;
  await t.rejects(
    sequence.run([shared, undefined, new ArrayBuffer(8), new ArrayBuffer(8)], () => undefined),
    'a SharedArrayBuffer cannot be handed over',
  );
  await sequence.run(buffers(8), () => undefined);
  await thread.disposeProgram(program);
  await t.rejects(
    sequence.run(buffers(8), () => undefined),
    { message: /was disposed/ },
  );
  await sequence.dispose();
  await t.rejects(
    sequence.run(buffers(8), () => undefined),
    { message: /does not exist/ },
  );
});

void t.test('a throttled thread measures what is left to it', async (t) => {
  const [full, quarter] = [await start(t), await start(t, { speed: 0.25 })];
  const [all, some] = [await full.measureRates(0.2), await quarter.measureRates(0.2)];
  for (const rate of ['flops', 'convolutionFlops', 'memoryBandwidthBytesPerSecond'] as const) {
    const share = some[rate] / all[rate];
    t.ok(share > 0.05 && share < 0.8, `${rate}: ${share} of the full one's`);
  }
  t.ok(all.launchSeconds > 1e-7 && some.launchSeconds > 1.2 * all.launchSeconds && some.launchSeconds < 1e-3);
});

void t.test('requests are answered in the order made', async (t) => {
  const thread = await start(t);
  const order: string[] = [];
  await Promise.all([
    thread.compile(doubling(1)).then(() => order.push('compile')),
    thread.measureRates(0.01).then(({ flops }) => order.push(flops > 1e6 ? 'measure' : 'slow')),
    thread.compile(doubling(2)).then(() => order.push('compile again')),
  ]);
  t.same(order, ['compile', 'measure', 'compile again']);
});

void t.test('a caller that fails to take a buffer gets its own error', async (t) => {
  const thread = await start(t);
  const { sequence } = await chain(thread, 1);
  const buffers = [new ArrayBuffer(4), undefined, new ArrayBuffer(4), new ArrayBuffer(4)];
  const mistake = new RangeError('mine');
  await t.rejects(
    sequence.run(buffers, () => {
      throw mistake;
    }),
    mistake,
  );
});

void t.test('an engine or device that is not there is told at the start', async (t) => {
  await t.rejects(ComputeThread.start({ engine: 'onnxruntime', device: 'webgpu:0' }), {
    family: 'user',
    code: 'engine_unavailable',
  });
});

void t.test('when the thread dies, whoever waits is told, and everybody after', async (t) => {
  // so little heap that it cannot even receive the graph: the thread is ended, the process is not
  const thread = await ComputeThread.start({ engine: 'reference', heapBytes: 48 * 2 ** 20 });
  const g = new GraphBuilder(standardOperators);
  g.input('x', { dtype: 'float32', shape: [1] });
  const padding = 'long '.repeat(2000);
  for (let i = 0; i < 10_000; i++) g.add('Identity', ['x'], {}, { name: `${padding}${i}` });
  await t.rejects(thread.compile(g.build('large', ['x'])), ComputeThreadError);
  await t.rejects(thread.compile(doubling(1)), { code: 'compute_thread_died' });
  await thread.close();
});

void t.test('closing ends the thread, also twice, also while it is busy', async (t) => {
  const thread = await ComputeThread.start({ engine: 'onnxruntime', threads: 1 });
  await Promise.all([thread.close(), thread.close()]);
  await t.rejects(thread.compile(doubling(1)), ComputeThreadError);
  const busy = await ComputeThread.start({ engine: 'reference', speed: 0.01 });
  const { sequence } = await chain(busy, 100_000);
  const running = sequence.run(
    [0, 1, 2, 3].map((i) => (i === 1 ? undefined : new ArrayBuffer(400_000))),
    () => undefined,
  );
  const begin = performance.now();
  await Promise.all([busy.close(0.05), t.rejects(running, ComputeThreadError)]);
  t.ok(performance.now() - begin < 2000);
});

void t.test('kept buffers change places, or are forgotten', async (t) => {
  const thread = await start(t);
  t.equal(thread.keepsValues, false);
  const [a, b, longer] = [thread.newKey(), thread.newKey(), thread.newKey()];
  await thread.hold(a, Float32Array.of(1, 2).buffer);
  await thread.hold(b, Float32Array.of(3, 4).buffer);
  await thread.hold(longer, new ArrayBuffer(12));
  await thread.exchange([{ from: a, to: b }]);
  const [under] = await thread.take([b]);
  t.same([...new Float32Array(under!)], [1, 2]);
  await t.rejects(thread.exchange([{ from: a, to: longer }]), { message: /8 and 12 bytes/ });
  await t.rejects(thread.exchange([{ from: a, to: b }]), { message: /no buffer is kept/ });
  await thread.drop([a, b, longer]);
  await t.rejects(thread.take([a]), { message: /no buffer is kept/ });
});
