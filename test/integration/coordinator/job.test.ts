import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { JobRecord, MetricRow } from '../../../protocol/index.js';
import { bubbleOf, fromChromeTrace } from '../../../scheduler/index.js';
import { jobOf, setUp, weightBytes } from './fixture.js';
import { ScriptedWorker } from './scripted-worker.js';

t.test('a job from submission to results, on two devices', async (t) => {
  const { coordinator, rest, ...setup } = await setUp();
  t.teardown(() => setup.close());
  const worker = await ScriptedWorker.join(coordinator.grpcAddress, {
    // so slow that two are faster than one with a model as small as this
    devices: [{ flops: 3e6 }, { flops: 1e6 }],
    weights: weightBytes,
  });
  t.teardown(() => worker.close());

  const submitted = await rest.submit(jobOf());
  t.equal(submitted.status, 201, submitted.body.detail);
  const job = await rest.over(submitted.body.id);
  t.equal(job.state, 'succeeded', JSON.stringify(job.error));
  t.match(job, { step: 8, totalSteps: 8, loss: 1 / 8, devices: ['host/cpu:0', 'host/cpu:1'], etaSeconds: 0 });

  const plan = worker.launches.get('host/cpu:1')!.plan;
  t.strictSame(
    plan.ranks.map(({ samples }) => samples[0]),
    [3, 1],
    'shares follow measured speed',
  );
  t.match(plan, { totalSteps: 8, stepsPerEpoch: 4, batch: 4, epoch: 1 });

  const { body } = await rest.ask<{ rows: MetricRow[] }>('GET', `/v1/jobs/${job.id}/metrics`);
  t.strictSame(
    body.rows.map((row) => row.step),
    [1, 2, 3, 4, 5, 6, 7, 8],
  );
  for (const file of ['model.onnx', 'weights.safetensors', 'plan.json', 'report.json', 'metrics.jsonl']) {
    t.ok(readFileSync(join(job.output.directory, file)).length > 0, file);
  }
  const trace = fromChromeTrace(JSON.parse(readFileSync(join(job.output.directory, 'trace.json'), 'utf8')));
  t.equal(bubbleOf(trace.events).bubble, 0.25);
  t.same(trace.names.ranks, [
    { device: 'host/cpu:0', host: 'host' },
    { device: 'host/cpu:1', host: 'host' },
  ]);
  const { body: devices } = await rest.ask<{ devices: { state: string }[] }>('GET', '/v1/devices');
  t.strictSame(
    devices.devices.map((device) => device.state),
    ['free', 'free'],
  );
  const { body: page } = await rest.ask<{ jobs: JobRecord[] }>('GET', '/v1/jobs?state=succeeded');
  t.strictSame(
    page.jobs.map((one) => one.id),
    [job.id],
  );
});
