import t from 'tap';
import { tensorOf, type BatchStatistics } from '../../../graph/index.js';
import { fold, foldsOf, RunningStatistics } from '../../../worker/statistics/index.js';

const near = (actual: ArrayLike<number>, wanted: readonly number[]) =>
  actual.length === wanted.length && wanted.every((x, i) => Math.abs(actual[i]! - x) <= 1e-6 * Math.abs(x));

const statistics: BatchStatistics = {
  node: 'bn',
  mean: { buffer: 'm', output: 'batch.m' },
  variance: { buffer: 'v', output: 'batch.v' },
  momentum: 0.9,
  count: 5,
};
const start = new Map([
  ['m', tensorOf('float32', [2], [1, -1])],
  ['v', tensorOf('float32', [2], [1, 2])],
]);
const layout = {
  fields: new Map([
    ['loss', { byteOffset: 0 }],
    ['batch.m', { byteOffset: 64 }],
    ['batch.v', { byteOffset: 128 }],
    ['m', { byteOffset: 192 }],
  ]),
};

t.test('a fold keeps its momentum of the running value and takes the rest of the batch', (t) => {
  const running = Float32Array.of(10, 20);
  fold({ running, momentum: 0.75, correction: 2 }, Float32Array.of(7, 1, -1, 7), 1);
  t.same([...running], [7.5 + 0.5, 15 - 0.5]);
  fold({ running, momentum: 1, correction: 2 }, Float32Array.of(3, 4));
  t.same([...running], [8, 14.5], 'momentum 1 keeps all');
  fold({ running, momentum: 0, correction: 1 }, Float32Array.of(3, 4));
  t.same([...running], [3, 4], 'momentum 0 keeps nothing');
  t.end();
});

t.test('the variance is made unbiased, the mean is not touched', (t) => {
  const [mean, variance] = foldsOf([statistics], () => new Float32Array(2));
  t.match(mean, { output: 'batch.m', fold: { momentum: 0.9, correction: 1 } });
  t.match(variance, { output: 'batch.v', fold: { momentum: 0.9, correction: 5 / 4 } });
  t.end();
});

t.test('a step reads what it found from its buffer, and finds there what it reads', (t) => {
  const running = new RunningStatistics(start);
  const step = running.forStep([statistics], ['m'], layout);
  const buffer = new ArrayBuffer(256);
  const elements = new Float32Array(buffer);
  step.write(buffer);
  t.same([...elements.subarray(48, 50)], [1, -1]);
  elements.set([3, 5], 16);
  elements.set([4, 8], 32);
  step.read(buffer);
  t.ok(near(running.of('m'), [0.9 + 0.3, -0.9 + 0.5]));
  t.ok(near(running.of('v'), [0.9 + 0.1 * 5, 1.8 + 0.1 * 10]));
  t.same([...start.get('m')!.data], [1, -1], 'the model itself is as it was');
  t.same([...running.tensors().keys()], ['m', 'v']);
  t.equal(running.tensors().get('v')!.data, running.of('v'));
  t.throws(() => running.of('x'), /no running statistic/);
  t.end();
});

t.test('nodes that share statistics fold one after the other', (t) => {
  const running = new RunningStatistics(start);
  const again = { ...statistics, momentum: 0.5, mean: { buffer: 'm', output: 'second' } };
  const fields = new Map([...layout.fields, ['second', { byteOffset: 256 }] as const]);
  const step = running.forStep([statistics, again], [], { fields });
  const buffer = new ArrayBuffer(320);
  new Float32Array(buffer).set([3, 3], 16);
  new Float32Array(buffer).set([8, 8], 64);
  step.read(buffer);
  t.ok(near(running.of('m'), [0.5 * (0.9 + 0.3) + 4, 0.5 * (-0.9 + 0.3) + 4]));
  t.end();
});

t.test('a model without them costs nothing', async (t) => {
  const none = new RunningStatistics(new Map());
  none.forStep([], [], layout).read(new ArrayBuffer(1)); // no float32 fits: it is not looked at
  await none.average({ worldSize: 2, allReduceScalars: () => Promise.reject(new Error('asked')) }, 0.5);
  t.equal(none.tensors().size, 0);
});

/** Ranks that add what they are given, once each has called. */
function ring(worldSize: number) {
  const given: Float64Array[] = [];
  const answers: ((sums: Float64Array) => void)[] = [];
  return {
    worldSize,
    allReduceScalars: (values: Float64Array) => {
      given.push(values);
      const answer = new Promise<Float64Array>((resolve) => answers.push(resolve));
      if (given.length === worldSize) {
        const sums = values.map((_, i) => given.reduce((sum, each) => sum + each[i]!, 0));
        for (const resolve of answers) resolve(sums);
      }
      return answer;
    },
  };
}

t.test(
  'ranks end with the mean by their shares, the same bits on all; one rank alone with its own',
  async (t) => {
    const communicator = ring(2);
    const [one, two] = [new RunningStatistics(start), new RunningStatistics(start)];
    one.of('m').set([4, 8]);
    two.of('m').set([0, -4]);
    await Promise.all([one.average(communicator, 0.75), two.average(communicator, 0.25)]);
    t.same([...one.of('m')], [3, 5]);
    for (const name of ['m', 'v']) t.same(one.of(name), two.of(name));
    t.same([...one.of('v')], [1, 2], 'what is equal stays');
    const alone = new RunningStatistics(start);
    await alone.average(ring(1), 1);
    t.same([...alone.of('m')], [1, -1]);
  },
);
