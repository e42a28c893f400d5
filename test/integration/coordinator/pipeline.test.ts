import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readSafetensors } from '../../../graph/index.js';
import type { Report } from '../../../protocol/index.js';
import type { Plan } from '../../../scheduler/index.js';
import { jobOf, setUp, weightBytes } from './fixture.js';
import { honest, ScriptedWorker } from './scripted-worker.js';

const { coordinator, rest, ...setup } = await setUp();
t.teardown(() => setup.close());

t.test('a pipeline of two ranks: plan, parts of the weights, predictions beside measurements', async (t) => {
  const worker = await ScriptedWorker.join(coordinator.grpcAddress, {
    devices: [{}, {}, {}],
    weights: weightBytes,
    script: {
      peers: async (worker, launch, plan) => {
        if (launch.rank === 0) worker.step(launch, 1);
        await worker.checkpoint(launch, 2);
        // of a checkpoint that only one of them reaches nothing is kept
        if (launch.rank === 0) await worker.checkpoint(launch, 4);
        await worker.finish(launch, plan.totalSteps);
      },
    },
  });
  t.teardown(() => worker.close());
  const asked = { pipeline: 2, data: 1, microBatches: 2, schedule: 'gpipe', shardOptimizer: false } as const;
  const job = jobOf({ name: 'pipeline', parallelism: asked });
  const planned = await rest.ask<Plan>('POST', '/v1/plan', { job });
  t.match(planned, { status: 200, body: { schedule: { kind: 'gpipe', microBatches: 2 } } });

  const { body } = await rest.submit(job);
  const ended = await rest.over(body.id);
  t.equal(ended.state, 'succeeded', JSON.stringify(ended.error));
  const { body: plan } = await rest.ask<Plan>('GET', `/v1/jobs/${body.id}/plan`);
  t.strictSame(plan, planned.body, 'what was planned before is what ran');
  t.equal(plan.stages.length, 2);
  t.match(plan, { shardOptimizer: false, boundSeconds: Number, gap: Number });
  const output = (name: string) => readFileSync(join(ended.output.directory, name));
  t.strictSame(JSON.parse(output('plan.json').toString()), plan);

  const told = worker.launches.get(ended.devices[1]!)!.plan;
  t.match(told.pipeline, { kind: 'gpipe', microBatches: 2, stagesPerRank: 1, shardOptimizer: false });
  t.strictSame(
    told.ranks.map(({ pipelineRank, samples }) => ({ pipelineRank, samples })),
    [
      { pipelineRank: 0, samples: [2, 2] },
      { pipelineRank: 1, samples: [2, 2] },
    ],
  );

  const tensors = (name: string) => readSafetensors(output(name), name).tensors;
  const whole = readSafetensors(weightBytes, 'weights').tensors;
  for (const file of ['weights.safetensors', 'checkpoints/step-2.safetensors']) {
    t.strictSame([...tensors(file).keys()].sort(), [...whole.keys()].sort(), file);
    for (const [name, tensor] of tensors(file)) t.strictSame(tensor.data, whole.get(name)!.data, name);
  }
  t.throws(() => output('checkpoints/step-4.safetensors'), { code: 'ENOENT' });

  const report = JSON.parse(output('report.json').toString()) as Report;
  t.match(report.devices, [
    { device: ended.devices[0], stages: [0], measuredPeakBytes: 2e8, measuredBusySeconds: 0.008 },
    { device: ended.devices[1], stages: [1], measuredPeakBytes: 2e8, measuredStepSeconds: 0.01 },
  ]);
  t.match(ended.performance, {
    predictedStepSeconds: plan.predictedStepSeconds,
    measuredStepSeconds: 0.01,
    devices: report.devices.map(({ device, stages, predictedBusySeconds }) => ({
      device,
      stages,
      predictedBusySeconds,
      measuredPeakBytes: 2e8,
    })),
  });
});

t.test('ranks that finish without weights', async (t) => {
  const worker = await ScriptedWorker.join(coordinator.grpcAddress, {
    weights: weightBytes,
    script: {
      peers: async (worker, launch, plan) => {
        await worker.finish(launch, plan.totalSteps, { weights: false });
      },
    },
  });
  t.teardown(() => worker.close());
  const { body } = await rest.submit(jobOf({ name: 'empty-handed' }));
  t.match(await rest.over(body.id), {
    state: 'failed',
    error: { code: 'weights_missing', device: 'host/cpu:0' },
    performance: { measuredStepSeconds: null },
  });
});

t.test('a device that vanishes as its job is launched fails the job, by name', async (t) => {
  const worker = await ScriptedWorker.join(coordinator.grpcAddress, { name: 'stays', weights: weightBytes });
  t.teardown(() => worker.close());
  const gone = await ScriptedWorker.join(coordinator.grpcAddress, {
    name: 'goes',
    script: { ...honest, launch: (worker) => worker.close() },
  });
  t.teardown(() => gone.close());
  const { body } = await rest.submit(jobOf({ name: 'vanishing', parallelism: { data: 2, pipeline: 1 } }));
  t.match(await rest.over(body.id), {
    state: 'failed',
    error: { device: 'goes/cpu:0', message: /goes\/cpu:0/ },
  });
});
