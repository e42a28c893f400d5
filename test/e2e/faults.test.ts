import { createServer } from 'node:net';
import { join } from 'node:path';
import { existsSync } from 'node:fs';
import t from 'tap';
import type { JobRecord } from '../../protocol/index.js';
import { UpCluster } from './cluster.js';
import { ENDLESS, mlpJob } from './jobs.js';
import { descendants, dtrain, Dtrain, isAlive } from './process.js';

t.setTimeout(240_000);

/** Starts an endless job, and waits until it trains. */
async function train(cluster: UpCluster, folder: string): Promise<Dtrain> {
  const following = cluster.start(['submit', 'job.yaml', '--follow', '--json'], folder);
  const training = await following.said(/training \d+\/1000000/);
  if (!training) throw new Error(following.stderr);
  return following;
}

for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
  t.test(
    `an executor that gets ${signal} in mid-step fails the job within 5 s, naming the device`,
    async (t) => {
      const cluster = await UpCluster.start();
      const following = await train(cluster, t.testdir(mlpJob(ENDLESS)));
      const victim = cluster.executors()[1]!;
      const at = performance.now();
      process.kill(victim.pid, signal);
      const ended = await following.ended;
      const seconds = (performance.now() - at) / 1000;
      t.equal(ended.code, 1, ended.stderr);
      const job = JSON.parse(ended.stdout) as JobRecord;
      t.match(job, { state: 'failed', error: { device: 'host/cpu:1', family: 'peer' } });
      t.match(job.error?.message, /host\/cpu:1/);
      t.ok(seconds < 5, `took ${seconds.toFixed(2)} s`);

      // the device comes back in a new process, and trains again
      const folder = t.testdir(mlpJob('batch: 32\nsteps: 3'));
      const again = await cluster.dtrain(['submit', 'job.yaml', '--follow', '--json'], folder);
      t.equal(again.code, 0, again.stderr);
      const processes = descendants(cluster.process.pid);
      t.equal((await cluster.stop()).code, 0);
      t.notOk(
        processes.some(({ pid }) => isAlive(pid)),
        'no process is left',
      );
      t.notOk(isAlive(victim.pid), 'nor the one that was stopped');
    },
  );
}

for (const [name, interrupt, code] of [
  ['Ctrl-C', (up: Dtrain) => up.signalGroup('SIGINT'), 130],
  ['SIGTERM', (up: Dtrain) => up.signal('SIGTERM'), 0],
] as const) {
  t.test(`${name} in mid-step ends everything that up started, and nothing is left`, async (t) => {
    const cluster = await UpCluster.start();
    const following = await train(cluster, t.testdir(mlpJob(ENDLESS)));
    const processes = descendants(cluster.process.pid);
    t.ok(processes.length >= 3, 'Redis and two executors');
    interrupt(cluster.process);
    const ended = await cluster.process.ended;
    t.equal(ended.code, code, ended.stderr);
    t.strictSame(
      processes.filter(({ pid }) => isAlive(pid)),
      [],
      'no process',
    );
    t.strictSame(cluster.leftovers(), [], 'no temporary file, no socket');
    following.signal('SIGINT');
    const { code: followed, stderr } = await following.ended;
    t.ok(followed === 1 || followed === 130 || followed === 3, stderr);
    cluster.remove();
  });
}

t.test('Ctrl-C while it is still starting leaves nothing either', async (t) => {
  const folder = t.testdir({});
  for (const seconds of [0.2, 0.8, 1.6]) {
    const up = new Dtrain(['up', '--http', '0', '--data-dir', folder]);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const started = descendants(up.pid);
    up.signalGroup('SIGINT');
    const { code, signal, stderr } = await up.ended;
    // before Node has run a line of ours, the signal itself ends it
    t.ok(code === 130 || signal === 'SIGINT', `${code} ${signal} ${stderr}`);
    t.strictSame(
      started.filter(({ pid }) => isAlive(pid)),
      [],
    );
  }
});

t.test('up that is killed takes its processes with it', async (t) => {
  const cluster = await UpCluster.start();
  const following = await train(cluster, t.testdir(mlpJob(ENDLESS)));
  const processes = descendants(cluster.process.pid);
  cluster.process.signal('SIGKILL');
  await cluster.process.ended;
  following.signal('SIGINT');
  await following.ended;
  const gone = async (): Promise<boolean> => {
    for (let attempt = 0; attempt < 100; attempt++) {
      if (!processes.some(({ pid }) => isAlive(pid))) return true;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return false;
  };
  t.ok(await gone(), `within 10 s: ${JSON.stringify(processes.filter(({ pid }) => isAlive(pid)))}`);
  cluster.remove();
});

t.test('a port in use is named, with exit code 2, and nothing is left', async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address() as { port: number };
  const folder = t.testdir({});
  const args = ['up', '--http', String(address.port), '--grpc', '0', '--data-dir', folder];
  const ended = await dtrain(args, { seconds: 60 });
  t.equal(ended.code, 2, ended.stderr);
  t.match(ended.stderr, new RegExp(`address_in_use.*${address.port}`));
  t.notOk(existsSync(join(folder, 'redis/redis.pid')), 'the private Redis has ended');
});

t.test('a second up on the same data folder is refused', async (t) => {
  const cluster = await UpCluster.start(['cpu:0,memory=512MiB']);
  const second = await dtrain(['up', '--http', '0', '--data-dir', cluster.folder], { seconds: 60 });
  t.equal(second.code, 2, second.stderr);
  t.match(second.stderr, /another dtrain runs with this data folder/);
  t.equal((await cluster.stop()).code, 0);
});

t.test('daemons without the other side say whom they miss', async (t) => {
  const folder = t.testdir({});
  const coordinator = await dtrain(
    [
      'coordinator',
      '--redis',
      'redis://127.0.0.1:9',
      '--http',
      '127.0.0.1:0',
      '--grpc',
      '127.0.0.1:0',
      '--data-dir',
      folder,
    ],
    { seconds: 60 },
  );
  t.equal(coordinator.code, 1, coordinator.stderr);
  t.match(coordinator.stderr, /redis_unavailable.*127\.0\.0\.1:9/);
  const worker = await dtrain(['worker', '--coordinator', '127.0.0.1:9', '--cache-dir', folder], {
    seconds: 60,
  });
  t.equal(worker.code, 3, worker.stderr);
  t.match(worker.stderr, /127\.0\.0\.1:9/);
  const device = await dtrain(['worker', '--coordinator', '127.0.0.1:9', '--device', 'tpu:0'], {
    seconds: 60,
  });
  t.equal(device.code, 2);
  t.match(device.stderr, /tpu/);
});
