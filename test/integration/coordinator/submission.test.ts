import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { sha256 } from '../../../base/index.js';
import { readModel, writeGraph } from '../../../graph/index.js';
import { referenceTo, type JobRecord, type JobSpec } from '../../../protocol/index.js';
import { repositoryRoot } from '../../root.js';
import { jobOf, setUp, weightBytes } from './fixture.js';
import { ScriptedWorker } from './scripted-worker.js';

const { coordinator, rest, folder, ...setup } = await setUp();
t.teardown(() => setup.close());

const modelOf = (name: string) =>
  readFileSync(join(repositoryRoot, `test/fixtures/models/${name}/model.onnx`));
async function uploaded(bytes: Uint8Array): Promise<string> {
  await rest.upload(bytes);
  return referenceTo(sha256(bytes));
}
const csv = (rows: readonly (readonly unknown[])[]) =>
  Buffer.from(rows.map((row) => row.join(',')).join('\n') + '\n');
const table = (rows: number, columns: number, target: (row: number) => unknown) =>
  csv(
    Array.from({ length: rows }, (_, row) => [
      ...Array.from({ length: columns }, (_, i) => (row + i) % 5),
      target(row),
    ]),
  );
const jobCount = async () =>
  (await rest.ask<{ jobs: unknown[] }>('GET', '/v1/jobs?limit=500')).body.jobs.length;

type Tap = typeof t;

/** A submission that must be refused, with nothing left behind. */
async function refused(
  t: Pick<Tap, 'equal' | 'match'>,
  job: JobSpec,
  status: number,
  wanted: object,
): Promise<void> {
  const [jobs, folders] = [await jobCount(), readdirSync(join(folder, 'jobs')).length];
  const { body, headers, status: got } = await rest.submit(job);
  t.equal(got, status, body.detail);
  t.equal(headers.get('content-type'), 'application/problem+json');
  t.match(body, { status, type: `urn:dtrain:problem:${body.code}`, ...wanted });
  t.equal(await jobCount(), jobs, 'no job is left behind');
  t.equal(readdirSync(join(folder, 'jobs')).length, folders, 'nor a folder');
}

t.test('mistakes in the job file', async (t) => {
  const wrong = (change: object) => ({ ...jobOf(), ...change });
  await refused(t, wrong({ bacth: 3 }), 422, {
    code: 'bad_input',
    detail: /unknown key "job\.bacth", did you mean "batch"/,
  });
  await refused(t, wrong({ batch: 0 }), 422, { code: 'bad_input', detail: /job\.batch: found 0/ });
  await refused(t, wrong({ optimizer: { kind: 'sgd', lr: 'fast' } }), 422, {
    code: 'bad_input',
    detail: /optimizer/,
  });
  await refused(t, wrong({ epochs: 1, steps: 1 }), 422, {
    code: 'unsupported',
    detail: /epochs: 1 and steps: 1/,
  });
  await refused(t, wrong({ parallelism: { schedule: 'gpip' } }), 422, {
    code: 'bad_input',
    detail: /job\.parallelism\.schedule: found "gpip", expected "gpipe" or "1f1b"/,
  });
  await refused(t, wrong({ parallelism: { stages: 2 } }), 422, {
    code: 'bad_input',
    detail: /unknown key "job\.parallelism\.stages".*known: data, pipeline, microBatches/,
  });
  await refused(t, wrong({ model: 'model.onnx' }), 422, { code: 'bad_reference', detail: /sha256:HEX/ });
  await refused(t, wrong({ model: referenceTo('0'.repeat(64)) }), 422, {
    code: 'artifact_missing',
    detail: /model \(0000/,
  });
  await refused(t, wrong({ weights: { file: referenceTo('1'.repeat(64)) } }), 422, {
    code: 'artifact_missing',
    detail: /weights\.file \(1111/,
  });
  await refused(t, wrong({ weights: 'old.safetensors' }), 422, {
    code: 'bad_reference',
    detail: /weights: "old\.safetensors" does not name an artifact/,
  });
});

t.test('mistakes in the model', async (t) => {
  const whole = modelOf('tabular');
  await refused(t, jobOf({ model: await uploaded(whole.subarray(0, whole.length - 100)) }), 422, {
    code: 'bad_model',
    detail: /model/,
  });
  await refused(t, jobOf({ model: await uploaded(Buffer.from('not a model')) }), 422, { code: 'bad_model' });
});

t.test('data that does not fit the model', async (t) => {
  const with9 = await uploaded(table(8, 9, () => 1));
  const train = (path: string, change: object = {}) => ({
    train: { format: 'csv' as const, path, target: -1, header: false, ...change },
  });
  await refused(t, jobOf({ data: train(with9) }), 422, { code: 'data_shape', detail: /data\.train\.path/ });
  const nan = await uploaded(table(8, 8, (row) => (row === 5 ? 'NaN' : 1)));
  await refused(t, jobOf({ data: train(nan) }), 422, {
    code: 'data_value',
    detail: /data\.train\.path.*(row|line) 6|line 6/,
  });
  const classifier = await uploaded(modelOf('mlp'));
  const labels = await uploaded(table(8, 784, (row) => (row === 3 ? 10 : row)));
  await refused(t, jobOf({ model: classifier, loss: 'cross_entropy', data: train(labels) }), 422, {
    code: 'data_label',
    detail: /10/,
  });
  const fine = await uploaded(table(8, 784, (row) => row));
  const bad = { ...train(fine), validation: { ...train(labels).train } };
  await refused(t, jobOf({ model: classifier, loss: 'cross_entropy', data: bad }), 422, {
    code: 'data_label',
    detail: /data\.validation\.path/,
  });
});

t.test('text whose vocabulary is larger than the model’s embedding', async (t) => {
  const characters = Array.from({ length: 80 }, (_, i) => String.fromCodePoint(0x21 + i)).join('');
  const text = await uploaded(Buffer.from(characters.repeat(10)));
  const data: JobSpec['data'] = { train: { format: 'text', path: text, tokens: 'char', context: 16 } };
  await refused(t, jobOf({ model: await uploaded(modelOf('gpt')), loss: 'cross_entropy', data }), 422, {
    code: 'data_label',
    detail: /65/,
  });
});

t.test('a job that does not fit the devices that have joined', async (t) => {
  const worker = await ScriptedWorker.join(coordinator.grpcAddress, {
    name: 'small',
    devices: [{ memoryBytes: 1e6 }, { memoryBytes: 1e6 }],
  });
  await refused(t, jobOf(), 422, {
    code: 'budget_too_small',
    detail: /small\/cpu:0.*short by.*give small\/cpu:\d memory=\d+MiB/,
    ids: { shortBytes: Number },
  });
  await refused(t, jobOf({ parallelism: { microBatches: 5 } }), 422, {
    code: 'bad_placement',
    detail: /microBatches: 5 of a batch of 4/,
  });
  await refused(t, jobOf({ parallelism: { pipeline: 1, data: 1, shares: [1, 2] } }), 422, {
    code: 'bad_shares',
    detail: /2 shares for 1 replicas/,
  });
  const planned = await rest.ask('POST', '/v1/plan', { job: jobOf() });
  t.match(planned, { status: 422, body: { code: 'budget_too_small', ids: { shortBytes: Number } } });

  const more = await rest.submit(jobOf({ parallelism: { data: 3 } }));
  t.equal(more.status, 201, 'a third device could still join');
  t.match(await untilExplained(more.body.id), {
    state: 'queued',
    explanation: [/asks for 3 devices, but 2 have joined/],
  });
  await rest.ask('POST', `/v1/jobs/${more.body.id}/cancel`);
  worker.close();
  while ((await rest.ask<{ devices: unknown[] }>('GET', '/v1/devices')).body.devices.length > 0)
    await new Promise(setImmediate);
});

t.test('without devices a job waits, and says why; cancelled, it is over', async (t) => {
  const { status, body } = await rest.submit(jobOf({ name: 'waits' }));
  t.equal(status, 201);
  t.match(await rest.until(body.id, () => true), { state: 'queued' });
  await t.resolveMatch(untilExplained(body.id), { state: 'queued', explanation: [/no device has joined/] });
  t.match(await rest.ask('POST', '/v1/plan', { job: jobOf() }), {
    status: 422,
    body: { code: 'bad_placement', ids: { wanted: 1, joined: 0 } },
  });
  const plan = await rest.ask<{ code: string }>('GET', `/v1/jobs/${body.id}/plan`);
  t.match(plan, { status: 404, body: { code: 'plan_not_found' } });
  const cancelled = await rest.ask<JobRecord>('POST', `/v1/jobs/${body.id}/cancel`);
  t.match(cancelled, { status: 202, body: { state: 'cancelled' } });
  t.match(await rest.ask('POST', `/v1/jobs/${body.id}/cancel`), { status: 409, body: { code: 'job_over' } });
});

async function untilExplained(id: string): Promise<JobRecord> {
  for (;;) {
    const job = await rest.job(id);
    if (job.explanation.some((line) => !line.includes('planned'))) return job;
  }
}

t.test('the same submission twice', async (t) => {
  const job = jobOf({ name: 'twice' });
  const first = await rest.submit(job, {}, { 'idempotency-key': 'k1' });
  t.equal(first.status, 201);
  t.equal(first.headers.get('location'), `/v1/jobs/${first.body.id}`);
  const again = await rest.submit(job, {}, { 'idempotency-key': 'k1' });
  t.match(again, { status: 200, body: { id: first.body.id } });
  const other = await rest.submit({ ...job, name: 'another' }, {}, { 'idempotency-key': 'k1' });
  t.match(other, { status: 409, body: { code: 'idempotency_conflict', ids: { job: first.body.id } } });
  const unkeyed = await rest.submit(job);
  t.match(unkeyed, {
    status: 409,
    body: { code: 'duplicate_submission', ids: { job: first.body.id }, detail: /dtrain cancel/ },
  });
  const elsewhere = await rest.submit(job, { outputClaim: { directory: '/somewhere/else', token: 'x' } });
  t.equal(elsewhere.status, 201, 'into another folder it is another job');
  t.equal(elsewhere.body.output.delivered, false, 'a claim that does not hold is not believed');
  for (const { id } of [first.body, elsewhere.body]) await rest.ask('POST', `/v1/jobs/${id}/cancel`);
  const anew = await rest.submit(job);
  t.equal(anew.status, 201, 'once the first is over it may run again');
  await rest.ask('POST', `/v1/jobs/${anew.body.id}/cancel`);
  const long = await rest.submit(job, {}, { 'idempotency-key': 'k'.repeat(300) });
  t.equal(long.status, 422);
});

t.test('results go straight into the submitter’s folder when it proved that it is one', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'dtrain-out-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(join(directory, '.dtrain-claim'), 'token');
  const worker = await ScriptedWorker.join(coordinator.grpcAddress, { weights: weightBytes });
  t.teardown(() => worker.close());
  const { body } = await rest.submit(jobOf({ name: 'claimed' }), {
    outputClaim: { directory, token: 'token' },
  });
  t.strictSame(body.output, { directory, delivered: true });
  t.equal((await rest.over(body.id)).state, 'succeeded');
  t.notOk(existsSync(join(directory, '.dtrain-claim')), 'the claim is taken');
  t.ok(existsSync(join(directory, 'model.onnx')));
});

t.test('an operator without a gradient rule is refused by name, with all its nodes', async (t) => {
  const { graph } = readModel(modelOf('tabular'));
  const nodes = graph.nodes.map((node) => (node.operator === 'Gemm' ? node : { ...node, operator: 'Det' }));
  const names = nodes.filter((node) => node.operator === 'Det').map((node) => node.name);
  const { body, status } = await rest.submit(
    jobOf({ model: await uploaded(writeGraph({ ...graph, nodes })) }),
  );
  t.match({ status, code: body.code }, { status: 422, code: 'unsupported_operator' }, body.detail);
  t.ok(names.length > 1);
  for (const name of names) t.ok(body.detail.includes(name), name);
});
