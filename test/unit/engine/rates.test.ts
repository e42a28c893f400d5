import t from 'tap';
import type { TypedGraph } from '../../../graph/index.js';
import type { Engine, Program } from '../../../worker/engine/index.js';
import { throttled } from '../../../worker/engine/rates/index.js';
import { largestWithin, timeInTurn } from '../../../worker/engine/rates/stopwatch.js';

t.test('a throttled device tells what is left to it', (t) => {
  const rates = { flops: 100, convolutionFlops: 50, memoryBandwidthBytesPerSecond: 10, launchSeconds: 1e-6 };
  t.same(throttled(rates, 0.5), {
    flops: 50,
    convolutionFlops: 25,
    memoryBandwidthBytesPerSecond: 5,
    launchSeconds: 2e-6,
  });
  t.same(throttled(rates, 1), rates);
  t.end();
});

/** Waits as long as a graph's name says. */
const slow = { compile: ({ name }: TypedGraph) => Promise.resolve(programOf(Number(name))) } as Engine;
const disposed: number[] = [];
function programOf(milliseconds: number): Program {
  return {
    inputs: [],
    fallbacks: [],
    outputs: [],
    run: () => {
      for (const end = performance.now() + milliseconds; performance.now() < end;);
      return Promise.resolve();
    },
    dispose: () => Promise.resolve(void disposed.push(milliseconds)),
  };
}
const graphOf = (milliseconds: number) => ({ name: String(milliseconds) }) as TypedGraph;

t.test('the first size that takes long enough is measured, else the last', async (t) => {
  const found = await largestWithin(slow, [0.01, 3, 50], graphOf, 0.002);
  t.equal(found.size, 3);
  t.ok(found.once >= 0.003);
  t.same(disposed, [0.01], 'those that were too small are disposed');
  t.equal((await largestWithin(slow, [0.01, 3], graphOf, 1)).size, 3);
  await t.rejects(largestWithin(slow, [], graphOf, 1), { code: 'internal' });
});

t.test('programs take turns, each three times at least', async (t) => {
  const order: string[] = [];
  const watch = (name: string, once: number) => ({
    size: name,
    once,
    run: () => Promise.resolve((order.push(name), once)),
    dispose: () => Promise.resolve(),
  });
  t.same(await timeInTurn([watch('a', 2), watch('b', 1)], 0), [2, 1]);
  t.equal(order.join(''), 'abbabb', 'a short one as long as the longest');
  order.length = 0;
  await timeInTurn([watch('a', 2)], 9);
  t.equal(order.length, 5);
});
