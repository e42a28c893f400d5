import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { JobRecord } from '../../../protocol/index.js';
import { ENDLESS, mlpJob } from '../../e2e/jobs.js';
import { Dtrain } from '../../e2e/process.js';
import { TestNetwork } from './network.js';

t.setTimeout(180_000);
const skip = TestNetwork.unavailable() ?? false;

t.test('three hosts: one trains with the other until a cable is pulled out', { skip }, async (t) => {
  const network = new TestNetwork(['head', 'left', 'right']);
  const folder = mkdtempSync(join(tmpdir(), 'dtrain-test-'));
  const head = network.address('head');
  const [grpc, http] = [`${head}:7701`, `http://${head}:7700`];
  const [before, ...redisWords] = [...network.on('head'), 'redis-server', '--save', '', '--appendonly', 'no'];
  const redis = spawn(before, redisWords, { stdio: 'ignore' });
  const processes: Dtrain[] = [];
  const start = (host: string, args: readonly string[], cwd = folder) => {
    const one = new Dtrain(args, { by: network.on(host), seconds: 150, cwd });
    processes.push(one);
    return one;
  };
  const endAll = async () => {
    for (const one of processes) one.signal('SIGTERM');
    await Promise.all(processes.map((one) => one.ended));
  };
  t.teardown(async () => {
    await endAll();
    redis.kill();
    network.remove();
    rmSync(folder, { recursive: true, force: true });
  });
  const coordinator = start('head', [
    'coordinator',
    ...['--redis', 'redis://127.0.0.1:6379', '--grpc', grpc, '--http', `${head}:7700`, '--data-dir', folder],
  ]);
  t.ok(await coordinator.said(/workers join at/), coordinator.stderr);
  const worker = (name: string) => {
    const device = 'cpu:0,memory=768MiB,threads=1';
    return start(name, [
      'worker',
      ...['--coordinator', grpc, '--name', name, '--device', device, '--cache-dir', network.scratch],
    ]);
  };
  const [left, right] = [worker('left'), worker('right')];
  for (const one of [left, right]) t.ok(await one.said(/has joined/), one.stderr);

  // over TCP between hosts, to the end
  const submit = (folder: string) =>
    start('head', ['submit', 'job.yaml', '--coordinator', http, '--follow', '--json'], folder);
  const short = await submit(t.testdir(mlpJob('batch: 32\nsteps: 20\nparallelism: { data: 2 }'))).ended;
  t.equal(short.code, 0, short.stderr);

  const following = submit(t.testdir(mlpJob(ENDLESS)));
  t.ok(await following.said(/training \d{2,}\/1000000/), following.stderr);
  network.cable('right', 'down');
  const at = performance.now();
  const { code, stdout, stderr } = await following.ended;
  const seconds = (performance.now() - at) / 1000;
  t.equal(code, 1, stderr);
  const { state, error } = JSON.parse(stdout) as JobRecord;
  t.match({ state, error }, { state: 'failed', error: { family: 'peer', device: 'right/cpu:0' } });
  t.ok(seconds < 5, `after ${seconds.toFixed(2)} s: ${error?.message}`);

  // the one that is left trains alone; then the lost one is back
  const alone = await submit(t.testdir(mlpJob('batch: 32\nsteps: 3'))).ended;
  t.equal(alone.code, 0, alone.stderr);
  network.cable('right', 'up');
  const both = submit(t.testdir(mlpJob('batch: 32\nsteps: 3\nparallelism: { data: 2 }')));
  const again = await both.ended;
  t.equal(again.code, 0, again.stderr);
  t.match(JSON.parse(again.stdout), { state: 'succeeded' });

  // a daemon that is ended while it has no network does not wait for it
  network.cable('left', 'down');
  const ending = performance.now();
  left.signal('SIGTERM');
  await left.ended;
  t.ok(performance.now() - ending < 4000, `${performance.now() - ending} ms`);
  // nor does the coordinator wait for a host that will never answer
  const closing = performance.now();
  await endAll();
  t.ok(performance.now() - closing < 8000, `${performance.now() - closing} ms`);
});
