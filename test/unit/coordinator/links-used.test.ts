import t from 'tap';
import { correctionsOf, linksUsed, measuredBottleneck } from '../../../coordinator/job/index.js';
import type { Topology } from '../../../scheduler/index.js';
import { summary } from './samples.js';

const ranks = [
  { device: 'a/cpu:0', host: 'a' },
  { device: 'b/cpu:0', host: 'b' },
  { device: 'b/cpu:1', host: 'b' },
];
const MEGA = 1e6;
const topology: Topology = {
  links: [{ between: ['b', 'a'], bandwidthBytesPerSecond: 800 * MEGA, latencySeconds: 0.001 }],
};
const steps = 20;
/** So many messages of so many bytes, a second each. */
const flow = (toRank: number, messageBytes: number, messageSeconds: number, messages = steps) => ({
  toRank,
  bytes: messages * messageBytes,
  seconds: messages * messageSeconds,
  messageBytes,
  messageSeconds,
});
const used = (...flows: ReturnType<typeof flow>[]) =>
  linksUsed(ranks, topology, [{ ...summary, steps, links: flows }, summary, summary]);

t.test('a link as fast as measured stays what it is', (t) => {
  const links = used(flow(1, 8 * MEGA, 0.012));
  t.match(links, [{ from: 'a/cpu:0', to: 'b/cpu:0', between: ['a', 'b'], bytesPerStep: 8 * MEGA }]);
  t.ok(Math.abs(links[0]!.measuredBytesPerSecond - 800 * MEGA) < MEGA, 'latency is no part of the rate');
  t.same(correctionsOf(links), []);
  t.equal(measuredBottleneck(ranks, [summary], links).device, 'a/cpu:0');
  t.end();
});

t.test('one that is far slower is corrected, and named where it takes longer than computing', (t) => {
  const [link] = used(flow(1, 2 * MEGA, 1.002));
  t.match(correctionsOf([link!]), [{ between: ['a', 'b'], link: { latencySeconds: 0.001 } }]);
  t.ok(Math.abs(link!.corrected!.bandwidthBytesPerSecond - 2 * MEGA) < 1000);
  t.match(measuredBottleneck(ranks, [summary], [link!]), {
    device: 'network',
    why: /^link a\/cpu:0 -> b\/cpu:0: measured 1\.91 MiB\/s, planned with 763 MiB\/s/,
  });
  const busy = { ...summary, medianComputeSeconds: 2 };
  t.equal(measuredBottleneck(ranks, [busy], [link!]).device, 'a/cpu:0', 'computing takes longer still');
  t.end();
});

t.test('short messages tell of latency, and time that is not missed of nothing', (t) => {
  const [late] = used(flow(1, 1000, 0.1));
  t.same(late!.corrected, { bandwidthBytesPerSecond: 800 * MEGA, latencySeconds: 0.05 });
  const [seldom] = used(flow(1, 2 * MEGA, 0.1, 1));
  t.equal(seldom!.corrected, undefined, 'slow, but it takes less than a tenth of the step');
  t.end();
});

t.test('of several links between two hosts the best counts; within a host it is another', (t) => {
  const found = correctionsOf(used(flow(1, 2 * MEGA, 1.002), flow(2, 2 * MEGA, 0.502)));
  t.equal(found.length, 1);
  t.ok(Math.abs(found[0]!.link.bandwidthBytesPerSecond - 4 * MEGA) < 1000);
  const within = linksUsed(ranks, topology, [summary, { ...summary, steps, links: [flow(2, MEGA, 1)] }]);
  t.same(correctionsOf(within)[0]!.between, ['b', 'b']);
  t.end();
});

t.test('nonsense is left out', (t) => {
  t.same(used(flow(7, 1, 1), flow(1, Number.NaN, 1), flow(1, 1, -1)), []);
  t.same(linksUsed(ranks, topology, [summary]), [], 'an earlier version tells nothing');
  t.end();
});
