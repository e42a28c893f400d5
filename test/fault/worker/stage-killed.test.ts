import t from 'tap';
import type { DeviceRecord, JobRecord } from '../../../protocol/index.js';
import { UpCluster } from '../../e2e/cluster.js';
import { train } from '../../e2e/endless.js';
import { lenetJob } from '../../e2e/jobs.js';

t.setTimeout(240_000);
const cluster = await UpCluster.start([0, 1].map((device) => `cpu:${device},memory=768MiB,threads=1`));
t.teardown(() => cluster.stop());

const STAGES = 'parallelism: { pipeline: 2, microBatches: 4, schedule: 1f1b }';
const states = async () => {
  const response = await fetch(`${cluster.url}/v1/devices`);
  const { devices } = (await response.json()) as { devices: readonly DeviceRecord[] };
  return devices.map(({ state }) => state).join();
};

t.test('the executor of a stage is killed in mid-step: named, and the devices come back', async (t) => {
  const following = await train(cluster, t.testdir(lenetJob(`batch: 24\nsteps: 1000000\n${STAGES}`)));
  const victim = cluster.executors()[1]!;
  const at = performance.now();
  process.kill(victim.pid, 'SIGKILL');
  const ended = await following.ended;
  const seconds = (performance.now() - at) / 1000;
  t.equal(ended.code, 1, ended.stderr);
  const job = JSON.parse(ended.stdout) as JobRecord;
  const rank = job.devices.indexOf('host/cpu:1');
  t.match(job, { state: 'failed', error: { device: 'host/cpu:1', family: 'peer', code: 'executor_died' } });
  t.match(job.error!.message, new RegExp(`host/cpu:1.*SIGKILL`));
  t.match(job.error!.message, new RegExp(`rank ${rank}`));
  t.ok(seconds < 5, `took ${seconds.toFixed(2)} s`);

  while ((await states()) !== 'free,free') await new Promise((resolve) => setTimeout(resolve, 50));
  const again = await cluster.ask(
    ['submit', 'job.yaml', '--follow', '--json'],
    t.testdir({ again: lenetJob(`batch: 24\nsteps: 3\n${STAGES}`) }) + '/again',
  );
  t.equal(again.code, 0, again.stderr);
  t.match(JSON.parse(again.stdout), { state: 'succeeded', step: 3 });
});
