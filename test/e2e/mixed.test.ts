import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { DevicePage, JobRecord, MetricRow } from '../../protocol/index.js';
import type { Plan } from '../../scheduler/index.js';
import { swiftShader } from '../swiftshader.js';
import { UpCluster } from './cluster.js';
import { lenetJob, mlpJob } from './jobs.js';

t.setTimeout(300_000);

/** Runs a job to its end. */
async function train(cluster: UpCluster, t: Test, files: Record<string, string | Buffer>) {
  const cwd = t.testdir(files);
  const ended = await cluster.ask(['submit', 'job.yaml', '--follow', '--json'], cwd);
  t.equal(ended.code, 0, ended.stderr);
  const job = JSON.parse(ended.stdout) as JobRecord;
  const rows = readFileSync(join(cwd, 'out/metrics.jsonl'), 'utf8').trim().split('\n');
  const losses = rows.map((row) => JSON.parse(row) as MetricRow).flatMap(({ loss }) => loss ?? []);
  const plan = JSON.parse(readFileSync(join(cwd, 'out/plan.json'), 'utf8')) as Plan;
  return { job, losses, plan };
}

function near(t: Test, ours: readonly number[], wanted: readonly number[]): void {
  t.equal(ours.length, wanted.length);
  ours.forEach((loss, i) =>
    t.ok(Math.abs(loss - wanted[i]!) <= 1e-3 * wanted[i]!, `step ${i + 1}: ${loss}, alone ${wanted[i]}`),
  );
}

t.test('onnxruntime on the CPU and gpu.js in WebAssembly train one model', async (t) => {
  const cluster = await UpCluster.start([
    'cpu:0,memory=768MiB,threads=1,speed=0.2',
    'wasm:0,memory=1GiB,threads=1',
  ]);
  t.teardown(() => cluster.stop());
  const { devices } = JSON.parse((await cluster.ask(['devices', '--json'])).stdout) as DevicePage;
  t.match(devices, [
    { id: 'host/cpu:0', engine: 'onnxruntime' },
    { id: 'host/wasm:0', kind: 'wasm', engine: 'gpujs', operators: Array },
  ]);
  const job = (parallelism: string) => lenetJob(`batch: 24\nsteps: 8\nparallelism: ${parallelism}`);
  const alone = await train(cluster, t, job('{ pipeline: 1, data: 1 }'));

  await t.test('a stage each', async (t) => {
    const staged = await train(cluster, t, job('{ pipeline: 2, data: 1, microBatches: 4 }'));
    t.strictSame([...staged.job.devices].sort(), ['host/cpu:0', 'host/wasm:0']);
    near(t, staged.losses, alone.losses);
  });

  await t.test('a replica each, twice: the same numbers', async (t) => {
    const shared = '{ pipeline: 1, data: 2, shares: [3, 1], microBatches: 2, shardOptimizer: true }';
    const first = await train(cluster, t, job(shared));
    const second = await train(cluster, t, job(shared));
    near(t, first.losses, alone.losses);
    t.strictSame(second.losses, first.losses);
  });

  await t.test('shares follow speed', async (t) => {
    const free = await train(cluster, t, job('{ pipeline: 1, data: 2, shardOptimizer: true }'));
    near(t, free.losses, alone.losses);
    const [cpu, wasm] = ['cpu', 'wasm'].map((kind) => {
      const replica = free.plan.stages[0]!.replicas.find(({ device }) => device === `host/${kind}:0`)!;
      return { ...replica, perSample: replica.predictedBusySeconds / replica.samplesPerStep };
    });
    t.equal(cpu!.samplesPerStep + wasm!.samplesPerStep, 24);
    t.equal(cpu!.samplesPerStep > wasm!.samplesPerStep, cpu!.perSample < wasm!.perSample);
    t.comment(`cpu:0 takes ${cpu!.samplesPerStep} of 24 samples, wasm:0 ${wasm!.samplesPerStep}`);
  });
});

const vulkan = swiftShader();
const skip = vulkan === undefined && 'SwiftShader is not installed (deploy/setup.sh --test)';
let onCpu: readonly number[] | undefined; // the same with either
for (const engine of ['gpujs', 'onnxruntime']) {
  t.test(`onnxruntime on the CPU and ${engine} on WebGPU train one model`, { skip }, async (t) => {
    Object.assign(process.env, vulkan!.env);
    const cluster = await UpCluster.start([
      'cpu:0,memory=768MiB,threads=1',
      `webgpu:0,memory=256MiB,threads=1,engine=${engine}`,
    ]);
    t.teardown(() => cluster.stop());
    const job = (parallelism: string) => mlpJob(`batch: 8\nsteps: 4\nparallelism: ${parallelism}`);
    onCpu ??= (await train(cluster, t, job('{ pipeline: 1, data: 1 }'))).losses;
    const staged = await train(cluster, t, job('{ pipeline: 2, data: 1, microBatches: 2 }'));
    t.strictSame([...staged.job.devices].sort(), ['host/cpu:0', 'host/webgpu:0']);
    const gpu = staged.plan.stages
      .flatMap(({ replicas }) => replicas)
      .find(({ device }) => device === 'host/webgpu:0');
    t.equal(gpu!.updateOnDevice === true, engine === 'onnxruntime', 'where values stay, the optimizer runs');
    near(t, staged.losses, onCpu);
    const shared = await train(cluster, t, job('{ pipeline: 1, data: 2, shares: [3, 1] }'));
    near(t, shared.losses, onCpu);
  });
}
