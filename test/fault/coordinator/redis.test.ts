import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { PrivateRedis } from '../../../coordinator/index.js';
import { jobOf, setUp, weightBytes } from '../../integration/coordinator/fixture.js';
import { ScriptedWorker } from '../../integration/coordinator/scripted-worker.js';
import { FakeClock } from '../../unit/coordinator/fake-clock.js';
import { PlainRedis } from './plain-redis.js';

const folder = mkdtempSync(join(tmpdir(), 'dtrain-redis-fault-'));
const redis = await PlainRedis.start(folder);
const clock = new FakeClock();
const given: PrivateRedis = { url: redis.url, pid: 0, close: () => Promise.resolve() };
const { coordinator, rest, ...setup } = await setUp({ clock, redis: given });
t.teardown(async () => {
  await setup.close();
  await redis.signal('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

const health = async () => (await rest.ask<{ redis: string }>('GET', '/healthz')).body.redis;
const turn = () => new Promise((resolve) => setTimeout(resolve, 5));
/** The link pings once a second of its clock. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) {
    clock.jump(0.3);
    await turn();
  }
}
let finish: (() => Promise<void>) | undefined;
const worker = await ScriptedWorker.join(coordinator.grpcAddress, {
  weights: weightBytes,
  heartbeatMs: 20,
  script: {
    peers: (self, launch) => {
      self.step(launch, 1);
      finish = async () => {
        self.step(launch, 8);
        await self.finish(launch, 8);
      };
    },
  },
});
t.teardown(() => worker.close());
const running = (id: string) => rest.until(id, (job) => job.state === 'running' && job.step > 0);

t.test(
  'while Redis is away: REST says so at once, the job goes on; after it all is as if nothing had been',
  async (t) => {
    const { body } = await rest.submit(jobOf({ name: 'goes on' }));
    await running(body.id);
    await redis.signal('SIGKILL');
    await until(async () => (await health()) === 'down');
    for (const [method, path, payload] of [
      ['POST', '/v1/jobs', { job: jobOf({ name: 'other' }) }],
      ['GET', '/v1/jobs'],
      ['GET', `/v1/jobs/${body.id}`],
      ['POST', `/v1/jobs/${body.id}/cancel`],
      ['GET', `/v1/jobs/${body.id}/metrics`],
    ] as const) {
      const asked = performance.now();
      const answer = await rest.ask(method, path, payload);
      t.match(
        answer,
        { status: 503, body: { code: 'redis_unavailable', detail: /does not answer/ } },
        `${method} ${path}`,
      );
      t.ok(performance.now() - asked < 1000, 'at once');
    }
    t.match(await rest.ask('GET', '/healthz'), { status: 503, body: { status: 'degraded', redis: 'down' } });
    const metrics = await (await fetch(`${rest.url}/metrics`)).text();
    t.match(metrics, /^dtrain_redis_up 0$/m, 'metrics are still there');
    await finish!();
    await redis.start();
    await until(async () => (await health()) === 'up');
    t.match(await rest.over(body.id), { state: 'succeeded', step: 8 });
    const again = await rest.submit(jobOf({ name: 'again' }));
    t.equal(again.status, 201);
    await running(again.body.id);
  },
);

t.test('when it stays away the job is stopped, and its end is written when Redis is back', async (t) => {
  const { jobs } = (await rest.ask<{ jobs: { id: string }[] }>('GET', '/v1/jobs?state=running')).body;
  const id = jobs[0]!.id;
  await running(id);
  await redis.signal('SIGKILL');
  await until(async () => (await health()) === 'down');
  const before = worker.received.filter((message) => message.case === 'stop').length;
  let elapsed = 0;
  while (worker.received.filter((message) => message.case === 'stop').length === before) {
    await turn();
    clock.jump(0.25);
    elapsed += 0.25;
  }
  t.ok(elapsed >= 9.5 && elapsed < 13, `stopped after ${elapsed} s`);
  await redis.start();
  await until(async () => (await health()) === 'up');
  t.match(await rest.over(id), {
    state: 'failed',
    error: { code: 'redis_unavailable', message: /away for 10 s/ },
  });
  t.match(await rest.ask('GET', `/v1/jobs?state=failed`), { body: { jobs: [{ id }] } }, 'Redis has it too');
  const next = await rest.submit(jobOf({ name: 'afterwards' }));
  await running(next.body.id);
  await finish!();
  t.match(await rest.over(next.body.id), { state: 'succeeded' });
});

t.test('a Redis that is silent, not gone', async (t) => {
  await redis.signal('SIGSTOP');
  const asked = performance.now();
  t.match(await rest.submit(jobOf({ name: 'silence' })), {
    status: 503,
    body: { code: 'redis_unavailable' },
  });
  t.ok(performance.now() - asked < 4000, 'it is given two seconds');
  await redis.signal('SIGCONT');
  await until(async () => (await health()) === 'up' && (await rest.ask('GET', '/v1/jobs')).status === 200);
  const { status, body } = await rest.submit(jobOf({ name: 'silence' }), {}, { 'idempotency-key': 'k' });
  t.ok(
    status === 201 || body.code === 'duplicate_submission',
    'the submission was made then, or can be made now',
  );
});

t.test('a close while Redis is away does not hang', async (t) => {
  await redis.signal('SIGKILL');
  const asked = performance.now();
  await coordinator.close();
  t.ok(performance.now() - asked < 8000);
  await redis.start();
});
