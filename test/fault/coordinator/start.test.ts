import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createLogger, systemClock } from '../../../base/index.js';
import { startCoordinator, startPrivateRedis } from '../../../coordinator/index.js';
import { Ownership, RedisLink } from '../../../coordinator/redis/index.js';
import { jobOf, Rest, modelBytes, dataBytes, setUp } from '../../integration/coordinator/fixture.js';
import { ScriptedWorker } from '../../integration/coordinator/scripted-worker.js';
import { FakeClock } from '../../unit/coordinator/fake-clock.js';

const logger = createLogger('test', 'silent');
const anyPort = { host: '127.0.0.1', port: 0 };
const folder = mkdtempSync(join(tmpdir(), 'dtrain-start-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

/** Running, or at least not waiting to be buried by the system's first process. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch (error) {
    // a system without /proc: the signal has told
    return (
      error instanceof Error && 'syscall' in error && error.syscall === 'open' && process.platform !== 'linux'
    );
  }
}
async function gone(pid: number): Promise<void> {
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
}

t.test('Redis is not there', async (t) => {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  const options = { grpc: anyPort, http: anyPort, dataDir: folder, logger };
  await t.rejects(startCoordinator({ ...options, redisUrl: `redis://:secret@127.0.0.1:${port}` }), {
    code: 'redis_unavailable',
    message: new RegExp(`^Redis at 127\\.0\\.0\\.1:${port} does not answer \\(.*ECONNREFUSED.*--redis`),
  });
});

t.test('ports that are taken', async (t) => {
  const redis = await startPrivateRedis({ dataDir: join(folder, 'ports'), logger });
  t.teardown(() => redis.close());
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.teardown(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const options = { redisUrl: redis.url, dataDir: folder, logger };
  const message = new RegExp(`127\\.0\\.0\\.1:${port}: another program listens there`);
  await t.rejects(startCoordinator({ ...options, grpc: { host: '127.0.0.1', port }, http: anyPort }), {
    code: 'address_in_use',
    message,
  });
  await t.rejects(startCoordinator({ ...options, grpc: anyPort, http: { host: '127.0.0.1', port } }), {
    code: 'address_in_use',
    message,
  });
  await t.rejects(startCoordinator({ ...options, grpc: anyPort, http: { host: '203.0.113.1', port: 0 } }), {
    code: 'address_unusable',
    message: /203\.0\.113\.1/,
  });
  const coordinator = await startCoordinator({ ...options, grpc: anyPort, http: anyPort });
  await coordinator.close();
  await coordinator.close();
  t.pass('after each failure nothing was left that would stand in the way');
});

t.test('a Redis belongs to one coordinator at a time', async (t) => {
  const redis = await startPrivateRedis({ dataDir: join(folder, 'owner'), logger });
  const link = await RedisLink.open(redis.url, systemClock, logger);
  const clock = new FakeClock();
  t.teardown(async () => {
    link.close();
    await redis.close();
  });
  const first = await Ownership.take(link, clock, logger);
  const second = Ownership.take(link, clock, logger);
  const refused = t.rejects(second, { code: 'redis_in_use', message: /process \d+ on .*another database/ });
  for (let i = 0; i < 100; i++) {
    clock.advance(0.1);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await refused;
  await first.release();
  await (await Ownership.take(link, clock, logger)).release();
  t.pass('after its end another may');
  const dead = spawn(process.execPath, ['-e', '']);
  await once(dead, 'exit');
  const { hostname } = await import('node:os');
  await link.ask((client) =>
    client.set('{dtrain}:owner', JSON.stringify({ id: 'x', host: hostname(), pid: dead.pid })),
  );
  await (await Ownership.take(link, clock, logger)).release();
  t.pass('and at once when its process is gone');
});

t.test('a private Redis', async (t) => {
  const dataDir = join(folder, 'private');
  const redis = await startPrivateRedis({ dataDir, logger });
  t.match(redis.url, /^redis:\/\/:[0-9a-f]{48}@127\.0\.0\.1:\d+$/);
  const link = await RedisLink.open(redis.url, systemClock, logger);
  t.strictSame(await link.ask((client) => client.config('GET', 'appendonly')), ['appendonly', 'yes']);
  t.strictSame(await link.ask((client) => client.config('GET', 'maxmemory-policy')), [
    'maxmemory-policy',
    'noeviction',
  ]);
  await link.ask((client) => client.set('kept', 'yes'));
  link.close();
  await t.rejects(RedisLink.open(redis.url.replace(/:[0-9a-f]{48}@/, ''), systemClock, logger), {
    code: 'redis_unavailable',
    message: /NOAUTH/,
  });
  await t.rejects(
    startPrivateRedis({ dataDir, logger }),
    { code: 'redis_not_started', message: /--data-dir/ },
    'one for each folder',
  );
  await redis.close();
  t.notOk(isAlive(redis.pid));
  const again = await startPrivateRedis({ dataDir, logger });
  const second = await RedisLink.open(again.url, systemClock, logger);
  t.equal(await second.ask((client) => client.get('kept')), 'yes');
  second.close();
  await again.close();
});

t.test('a machine without redis-server', async (t) => {
  const { PATH } = process.env;
  process.env['PATH'] = '/nowhere';
  t.teardown(() => (process.env['PATH'] = PATH));
  await t.rejects(startPrivateRedis({ dataDir: join(folder, 'none'), logger }), {
    code: 'redis_not_started',
    message: /apt-get install redis-server.*brew install redis/,
  });
});

/** A process with a private Redis and a coordinator, and what it says about itself. */
async function startProcess(dataDir: string): Promise<{
  pid: number;
  redisPid: number;
  http: string;
  grpc: string;
  exit: Promise<unknown>;
  kill(signal: NodeJS.Signals): void;
}> {
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('coordinator-process.js', import.meta.url)), dataDir],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const exit = once(child, 'exit');
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  return {
    pid: child.pid!,
    ...(JSON.parse(line) as { redisPid: number; http: string; grpc: string }),
    exit,
    kill: (signal) => child.kill(signal),
  };
}

t.test('killed: Redis ends with it; started again: what ran has failed, what waited runs', async (t) => {
  const dataDir = join(folder, 'killed');
  const first = await startProcess(dataDir);
  const rest = new Rest(first.http);
  await rest.upload(modelBytes);
  await rest.upload(dataBytes);
  const worker = await ScriptedWorker.join(first.grpc, {
    script: { peers: (self, launch) => self.step(launch, 1) },
  });
  const ran = (await rest.submit(jobOf({ name: 'ran' }))).body.id;
  await rest.until(ran, (job) => job.state === 'running');
  const waited = (await rest.submit(jobOf({ name: 'waited' }))).body.id;
  first.kill('SIGKILL');
  await first.exit;
  await gone(first.redisPid);
  t.pass('the watchdog ended Redis');
  worker.close();

  const second = await startProcess(dataDir);
  const again = new Rest(second.http);
  t.match(await again.job(ran), { state: 'failed', error: { code: 'coordinator_restarted' } });
  t.match(await again.job(waited), { state: 'queued' });
  const launched = new Promise<string>((resolve) => {
    void ScriptedWorker.join(second.grpc, { script: { launch: (_, launch) => resolve(launch.jobId) } }).then(
      (one) => t.teardown(() => one.close()),
    );
  });
  t.equal(await launched, waited);
  second.kill('SIGTERM');
  t.strictSame(await second.exit, [0, null], 'the process ends by itself: nothing keeps it');
  t.notOk(isAlive(second.redisPid));
});

t.test('a job that runs when the coordinator is closed', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'dtrain-closed-'));
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }));
  const redis = await startPrivateRedis({ dataDir: join(dataDir, 'redis'), logger });
  t.teardown(() => redis.close());
  const first = await setUp({ redis, folder: dataDir });
  const worker = await ScriptedWorker.join(first.coordinator.grpcAddress, {
    script: { peers: (self, launch) => self.step(launch, 1) },
  });
  const { body } = await first.rest.submit(jobOf());
  await first.rest.until(body.id, (job) => job.state === 'running');
  await first.close();
  t.match(worker.received.at(-1), { case: 'stop' }, 'its ranks are told');
  worker.close();
  const second = await setUp({ redis, folder: dataDir });
  t.match(await second.rest.job(body.id), { state: 'failed', error: { code: 'coordinator_stopped' } });
  await second.close();
});
