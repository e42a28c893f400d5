import t from 'tap';
import { Leases, LEASE_SECONDS, SWEEP_SECONDS } from '../../../coordinator/membership/index.js';

t.test('a lease runs out without heartbeats, and only then', (t) => {
  const leases = new Leases<string>(0);
  leases.renew('a', 0);
  leases.renew('b', 0);
  let now = 0;
  const over: string[] = [];
  for (; now < LEASE_SECONDS + 1; now += SWEEP_SECONDS) {
    leases.renew('b', now);
    over.push(...leases.sweep(now));
    if (now <= LEASE_SECONDS) t.strictSame(over, [], `at ${now}`);
  }
  t.strictSame(over, ['a']);
  t.equal(leases.age('a', now), Infinity);
  t.ok(leases.age('b', now) <= SWEEP_SECONDS);
  leases.end('b');
  t.strictSame(leases.sweep(now), []);
  t.end();
});

t.test('time in which this process was not there to hear does not count', (t) => {
  const leases = new Leases<string>(0);
  leases.renew('a', 0);
  t.strictSame(leases.sweep(0.25), []);
  t.strictSame(leases.sweep(10.25), [], 'ten seconds late: the heartbeats are still unread');
  t.ok(leases.age('a', 10.25) < 1.5);
  t.strictSame(leases.sweep(10.5), []);
  let over: string[] = [];
  for (let now = 10.5; over.length === 0; now += SWEEP_SECONDS) {
    over = leases.sweep(now);
    if (over.length > 0) t.ok(now < 10.25 + LEASE_SECONDS + 0.5, `it runs out all the same, at ${now}`);
  }
  t.end();
});
