import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { DevicePage, JobRecord } from '../../../protocol/index.js';
import { UpCluster } from '../../e2e/cluster.js';
import { mlpJob } from '../../e2e/jobs.js';
import { swiftShader } from '../../swiftshader.js';

t.setTimeout(240_000);
const vulkan = swiftShader();

t.test(
  'a GPU that is lost ends its executor with that cause, and the host goes on',
  { skip: vulkan === undefined && 'SwiftShader is not installed (deploy/setup.sh --test)' },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'dtrain-test-'));
    const lose = join(folder, 'lose');
    const hook = new URL('./lose-device.js', import.meta.url).href;
    Object.assign(process.env, vulkan!.env, { DTRAIN_TEST_LOSE: lose, NODE_OPTIONS: `--import ${hook}` });
    const cluster = await UpCluster.start([
      'cpu:0,memory=768MiB,threads=1',
      'webgpu:0,memory=256MiB,threads=1,engine=gpujs',
    ]);
    t.teardown(async () => {
      await cluster.stop();
      rmSync(folder, { recursive: true, force: true });
    });
    const submit = (lines: string) =>
      cluster.ask(
        ['submit', 'job.yaml', '--follow', '--json'],
        t.testdir(mlpJob(`${lines}\nparallelism: { data: 2, pipeline: 1, shares: [3, 1] }`)),
      );
    const endless = submit('batch: 8\nsteps: 1000000');
    for (;;) {
      const { stdout } = await cluster.ask(['list', '--json']);
      const { jobs } = JSON.parse(stdout) as { jobs: readonly JobRecord[] };
      if ((jobs[0]?.step ?? 0) >= 2) break;
      await sleep(100);
    }
    writeFileSync(lose, '');
    const failed = await endless;
    t.equal(failed.code, 1, failed.stderr);
    const { error } = JSON.parse(failed.stdout) as JobRecord;
    t.match(error, {
      code: 'device_lost',
      device: 'host/webgpu:0',
      message: /webgpu:0, SwiftShader.* is lost/,
    });

    for (;;) {
      const { devices } = JSON.parse((await cluster.ask(['devices', '--json'])).stdout) as DevicePage;
      if (devices.every(({ state }) => state === 'free')) break;
      await sleep(200);
    }
    const again = await submit('batch: 8\nsteps: 2');
    t.equal(again.code, 0, again.stderr);
    t.strictSame([...(JSON.parse(again.stdout) as JobRecord).devices].sort(), [
      'host/cpu:0',
      'host/webgpu:0',
    ]);
  },
);
