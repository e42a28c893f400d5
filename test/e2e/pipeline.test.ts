import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readModel, readSafetensors } from '../../graph/index.js';
import type { JobRecord, MetricRow, Report } from '../../protocol/index.js';
import { UpCluster } from './cluster.js';
import { lenetJob } from './jobs.js';

t.setTimeout(240_000);
const cluster = await UpCluster.start([0, 1, 2].map((device) => `cpu:${device},memory=768MiB,threads=1`));
t.teardown(() => cluster.stop());

const JOB = 'batch: 24\nsteps: 12\nvalidateEverySteps: 6\ncheckpoint: { everySteps: 6 }';

t.test('three devices train a model in three stages, and all of it is in the output folder', async (t) => {
  const train = async (parallelism: string) => {
    const files = lenetJob(`${JOB}\nparallelism: ${parallelism}`);
    const folder = t.testdir({ [parallelism.startsWith('{ pipeline') ? 'three' : 'one']: files });
    const cwd = join(folder, readdirSync(folder)[0]!);
    const ended = await cluster.ask(['submit', 'job.yaml', '--follow', '--json'], cwd);
    t.equal(ended.code, 0, ended.stderr);
    return { job: JSON.parse(ended.stdout) as JobRecord, out: join(cwd, 'out') };
  };
  const read = (out: string) => {
    const rows = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n');
    return {
      losses: rows.map((row) => JSON.parse(row) as MetricRow).flatMap(({ loss }) => loss ?? []),
      weights: readSafetensors(readFileSync(join(out, 'weights.safetensors'))).tensors,
      trained: readModel(readFileSync(join(out, 'model.onnx'))).graph.parameters,
      report: JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')) as Report,
      files: readdirSync(out),
      trace: existsSync(join(out, 'trace.json')) ? readFileSync(join(out, 'trace.json'), 'utf8') : '',
    };
  };
  const pipeline = await train('{ pipeline: 3, microBatches: 4, schedule: 1f1b }');
  t.match(pipeline.job, { state: 'succeeded', step: 12, error: null });
  const three = read(pipeline.out);
  const alone = await train('{ pipeline: 1, data: 1 }');
  const one = read(alone.out);

  t.equal(pipeline.job.devices.length, 3);
  t.equal(three.losses.length, 12);
  three.losses.forEach((loss, i) =>
    t.ok(Math.abs(loss - one.losses[i]!) < 1e-4 * one.losses[i]!, `step ${i + 1}: ${loss}`),
  );
  t.ok(Math.abs(pipeline.job.validationLoss! - alone.job.validationLoss!) < 1e-4 * alone.job.validationLoss!);
  t.same([...three.weights.keys()].sort(), [...one.weights.keys()].sort(), 'the weights of all stages');
  for (const [name, { data }] of three.weights)
    t.same(three.trained.get(name)?.data, data, `${name} is in the model as well`);
  t.equal(three.report.devices.length, 3);
  const trace = JSON.parse(three.trace) as { traceEvents: readonly { ph: string; tid: number }[] };
  const threads = new Set(trace.traceEvents.filter(({ ph }) => ph === 'X').map(({ tid }) => tid));
  t.equal(threads.size, 3, 'the trace shows what each of the three has done');
});
