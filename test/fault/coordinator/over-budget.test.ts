import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createLogger, sha256 } from '../../../base/index.js';
import { linear, model, sequential, tensor } from '../../../graph/nn/index.js';
import { writeGraph } from '../../../graph/index.js';
import { referenceTo, type JobRecord, type JobSpec } from '../../../protocol/index.js';
import type { Plan } from '../../../scheduler/index.js';
import { parseDeviceSpec, startWorkerDaemon } from '../../../worker/index.js';
import { setUp } from '../../integration/coordinator/fixture.js';

t.setTimeout(180_000);
const MIB = 2 ** 20;
const BUDGET = 400 * MIB;

const { coordinator, rest, ...setup } = await setUp();
t.teardown(() => setup.close());
const folder = mkdtempSync(join(tmpdir(), 'dtrain-test-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

/** What executors take at their next launches; see ballast.ts. */
function ballast(t: Test, mebibytes: readonly number[]): void {
  const own = mkdtempSync(join(folder, 'ballast-'));
  mebibytes.forEach((size, i) => writeFileSync(join(own, String(i)), String(size)));
  const { NODE_OPTIONS = '' } = process.env;
  const preload = new URL('../worker/ballast.js', import.meta.url).href;
  Object.assign(process.env, { BALLAST: own, NODE_OPTIONS: `${NODE_OPTIONS} --import ${preload}` });
  t.teardown(() => {
    delete process.env['BALLAST'];
    process.env['NODE_OPTIONS'] = NODE_OPTIONS;
  });
}

async function worker(t: Test, devices: readonly string[]): Promise<void> {
  const daemon = await startWorkerDaemon({
    coordinator: coordinator.grpcAddress,
    name: 'host',
    devices: devices.map(parseDeviceSpec),
    cacheDir: join(folder, 'cache'),
    listenHost: '127.0.0.1',
    logger: createLogger('test', process.env['DTRAIN_LOG'] ?? 'silent'),
  });
  t.teardown(() => daemon.close());
}

const ROWS = 1200;
/** A job whose values take most of its memory, so that smaller micro-batches help. */
async function wideJob(name: string): Promise<JobSpec> {
  const { graph } = model({ input: tensor(6), layers: sequential(linear(16384), linear(1)) });
  const bytes = writeGraph(graph);
  const rows = Array.from({ length: ROWS }, (_, row) =>
    Array.from({ length: 7 }, (_, column) => ((row * 7 + column * 3) % 11) / 10).join(','),
  );
  const data = Buffer.from(rows.join('\n') + '\n');
  await rest.upload(bytes);
  await rest.upload(data);
  return {
    name,
    model: referenceTo(sha256(bytes)),
    data: { train: { format: 'csv', path: referenceTo(sha256(data)), target: -1, header: false } },
    loss: 'mse',
    optimizer: { kind: 'sgd', lr: 0.001 },
    batch: 600,
    steps: 6,
  };
}

/** The plan of a job that runs, or did. */
const planOf = async (id: string) => (await rest.ask<Plan>('GET', `/v1/jobs/${id}/plan`)).body;

/** Submits, and waits until it is over. */
async function train(job: JobSpec): Promise<{ ended: JobRecord; first: Plan }> {
  const { body } = await rest.submit(job);
  await rest.until(body.id, ({ devices }) => devices.length > 0);
  const first = await planOf(body.id);
  return { ended: await rest.over(body.id), first };
}

t.test('a job whose executor takes what no plan knows of: its next plan counts with that', async (t) => {
  ballast(t, [380]);
  await worker(t, ['cpu:0,memory=400MiB,threads=1']);
  const { ended, first } = await train(await wideJob('wide'));
  t.match(ended, {
    state: 'succeeded',
    step: 6,
    replanned: {
      device: 'host/cpu:0',
      budgetBytes: BUDGET,
      message: /took \d{3} MiB of a budget of 400 MiB/,
    },
  });
  t.ok(ended.replanned!.measuredBytes > 1.1 * BUDGET);
  const second = await planOf(ended.id);
  t.equal(first.schedule.microBatches, 1);
  t.ok(second.schedule.microBatches > 1, 'it computes fewer samples at once');
  const [replica] = second.stages[0]!.replicas;
  t.equal(replica!.budgetBytes, BUDGET);
  t.ok(replica!.predictedPeakBytes <= BUDGET);
  const beyond = replica!.account.find(({ what }) => what === 'measured beyond the account');
  t.ok(beyond!.bytes > 0);
});

t.test('the second time it fails, with what was measured both times', async (t) => {
  ballast(t, [380, 390]);
  await worker(t, ['cpu:0,memory=400MiB,threads=1']);
  const { ended } = await train(await wideJob('always'));
  t.match(ended, {
    state: 'failed',
    error: {
      family: 'user',
      code: 'over_budget',
      device: 'host/cpu:0',
      message:
        /took \d{3} MiB of a budget of 400 MiB.*This was its second plan; the first ended with: host\/cpu:0: its executor took \d{3} MiB/,
    },
  });
});

t.test('a stage of a pipeline: the others stop, and all go on in another plan', async (t) => {
  ballast(t, [380]);
  await worker(t, ['cpu:0,memory=400MiB,threads=1', 'cpu:1,memory=400MiB,threads=1']);
  const { ended, first } = await train({
    ...(await wideJob('stages')),
    parallelism: { pipeline: 2, data: 1 },
  });
  t.equal(first.stages.length, 2);
  t.match(ended, { state: 'succeeded', step: 6, replanned: { budgetBytes: BUDGET } });
  const second = await planOf(ended.id);
  t.equal(second.stages.length, 2);
  for (const { replicas } of second.stages) {
    t.equal(replicas[0]!.budgetBytes, BUDGET);
    t.ok(
      replicas[0]!.account.some(({ what }) => what === 'measured beyond the account'),
      'its twin is counted so, too',
    );
  }
});
