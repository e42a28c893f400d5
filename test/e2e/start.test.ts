import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import type { HostDevices } from '../../worker/index.js';
import { UpCluster } from './cluster.js';
import { command } from './in-process.js';
import { dtrain } from './process.js';

t.setTimeout(240_000);

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
  const device = await command(['worker', '--coordinator', '127.0.0.1:9', '--device', 'tpu:0']);
  t.equal(device.code, 2);
  t.match(device.stderr, /tpu/);
  const missing = await command(['worker', '--coordinator', '127.0.0.1:9', '--device', 'webgpu:9']);
  t.equal(missing.code, 2, 'a GPU that is not there is told before anybody is joined');
  t.match(missing.stderr, /there is no device "webgpu:9"/);
});

t.test('without a coordinator, devices shows what this host has', async (t) => {
  const ended = await dtrain(['devices', '--json'], { seconds: 180 });
  t.equal(ended.code, 0, ended.stderr);
  const { devices, unavailable } = JSON.parse(ended.stdout) as HostDevices;
  t.match(devices[0]?.id, /cpu:0$/);
  t.ok(devices[0]!.flops > 0);
  t.match(
    devices.find(({ id }) => id.endsWith('wasm:0')),
    {
      kind: 'wasm',
      engine: 'gpujs',
      engines: [{ engine: 'gpujs' }],
      memoryBytes: Number,
      description: String,
    },
  );
  const known = [...devices, ...unavailable].map(({ id }) => id.replace(/^.*\//, ''));
  for (const kind of ['webgpu', 'cuda', 'webgl'])
    t.ok(
      known.some((id) => id.startsWith(kind)),
      `${kind} is listed, or why it is not`,
    );
  for (const { reason, advice } of unavailable) t.ok(reason.length > 0 && advice.length > 0, reason);
});
