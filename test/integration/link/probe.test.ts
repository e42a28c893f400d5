import t from 'tap';
import { listenForProbe, measureLink, messagesWithin, rateOf } from '../../../worker/link/index.js';

t.test('two ends measure the way between them, and are gone', async (t) => {
  const { endpoint, over } = await listenForProbe('probe-1', '127.0.0.1');
  t.match(endpoint, /^tcp:\/\/127\.0\.0\.1:\d+$/);
  const started = performance.now();
  const link = await measureLink('probe-1', '127.0.0.1', endpoint);
  t.comment(JSON.stringify(link), `${(performance.now() - started).toFixed(0)} ms`);
  t.ok(link.latencySeconds > 1e-6 && link.latencySeconds < 0.1, `${link.latencySeconds} s`);
  t.ok(link.bandwidthBytesPerSecond > 1e7 && link.bandwidthBytesPerSecond < 1e12);
  await over;
});

t.test('an end that nobody comes to gives up, and a probe of another name is turned away', async (t) => {
  const { endpoint, over } = await listenForProbe('probe-2', '127.0.0.1');
  await Promise.all([
    t.rejects(measureLink('probe-3', '127.0.0.1', endpoint), { code: 'refused', message: /probe-3/ }),
    t.rejects(over, { code: 'handshake_timeout', message: /probe-3 does not match probe-2/ }),
  ]);
});

t.test('what fits the time, and what a transfer tells', (t) => {
  t.equal(messagesWithin(0.1, 1e3), 0, 'a link that is too slow for one');
  t.equal(messagesWithin(0.1, 10 * 2.5 * 2 ** 18), 2);
  t.equal(messagesWithin(0.1, 1e12), 32);
  t.equal(rateOf(1000, 0.2, 0.1), 10_000, 'the round trip is not bandwidth');
  t.equal(rateOf(1000, 0.1, 0.2), 20_000, 'and never more than half of it');
  t.end();
});
