import t from 'tap';
import type { JobRecord } from '../../protocol/index.js';
import { UpCluster } from './cluster.js';
import { train } from './endless.js';
import { ENDLESS, mlpJob, ON_BOTH } from './jobs.js';
import { descendants, isAlive } from './process.js';

t.setTimeout(240_000);

t.test('executors that fail in mid-step', async (t) => {
  const cluster = await UpCluster.start();
  const victims: number[] = [];
  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    await t.test(`${signal} fails the job within 5 s, naming the device, which comes back`, async (t) => {
      const following = await train(cluster, t.testdir(mlpJob(ENDLESS)));
      const victim = cluster.executors().find(({ command }) => command.includes('cpu:1'))!;
      victims.push(victim.pid);
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
      const folder = t.testdir(mlpJob(`batch: 32\nsteps: 3\n${ON_BOTH}`));
      const again = await cluster.ask(['submit', 'job.yaml', '--follow', '--json'], folder);
      t.equal(again.code, 0, again.stderr);
    });
  }
  const processes = descendants(cluster.process.pid);
  t.equal((await cluster.stop()).code, 0);
  t.notOk(
    processes.some(({ pid }) => isAlive(pid)),
    'no process is left',
  );
  t.notOk(victims.some(isAlive), 'nor the one that was stopped');
});
