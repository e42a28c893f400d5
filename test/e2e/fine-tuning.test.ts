import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readModel, readSafetensors, type Tensor } from '../../graph/index.js';
import type { JobRecord, MetricRow } from '../../protocol/index.js';
import { UpCluster } from './cluster.js';
import { mlpJob } from './jobs.js';

t.setTimeout(240_000);
const cluster = await UpCluster.start();
t.teardown(() => cluster.stop());

/** Submits the folder's job and waits for its end. */
async function run(folder: string): Promise<JobRecord> {
  const ended = await cluster.ask(['submit', 'job.yaml', '--follow', '--json'], folder);
  if (ended.code !== 0) throw new Error(ended.stderr);
  return JSON.parse(ended.stdout) as JobRecord;
}

t.test('the weights of one job are where the next begins, with its first layer frozen', async (t) => {
  const folder = t.testdir(mlpJob('batch: 32\nsteps: 20'));
  const first = await run(folder);
  const file = (name: string) => join(folder, name);
  const before = readSafetensors(readFileSync(file('out/weights.safetensors'))).tensors;
  const names = [...before.keys()];
  const frozen = names[0]!;

  const job = readFileSync(file('job.yaml'), 'utf8')
    .replace('output: out', 'output: tuned')
    .replace('steps: 20', 'steps: 4\nvalidateEverySteps: 4')
    .replace(
      /optimizer: .*/,
      'optimizer: { kind: adamw, lr: 0.001, groups: [{ parameters: "*bias*", weightDecay: 0 }] }',
    );
  writeFileSync(file('job.yaml'), `${job}weights: out/weights.safetensors\nfrozen: ["${frozen}"]\n`);
  const second = await run(folder);
  t.equal(second.state, 'succeeded');
  const [row] = readFileSync(file('tuned/metrics.jsonl'), 'utf8').trim().split('\n');
  const { loss } = JSON.parse(row!) as MetricRow;
  t.ok(loss! < 2 * first.loss! + 0.1, `it begins at ${loss}, the first ended at ${first.loss}`);

  const after = readSafetensors(readFileSync(file('tuned/weights.safetensors'))).tensors;
  const { parameters } = readModel(readFileSync(file('tuned/model.onnx'))).graph;
  t.same([...after.keys()], names);
  for (const name of names) {
    const same = (a: Tensor, b: Tensor) =>
      Buffer.from((a.data as Float32Array).slice().buffer).equals(
        Buffer.from((b.data as Float32Array).slice().buffer),
      );
    t.ok(same(parameters.get(name)!, after.get(name)!), `${name} in the model`);
    t.equal(same(after.get(name)!, before.get(name)!), name === frozen, name);
  }
  const plan = JSON.parse(readFileSync(file('tuned/plan.json'), 'utf8')) as {
    stages: { replicas: { account: { what: string; bytes: number }[] }[] }[];
  };
  const account = plan.stages[0]!.replicas[0]!.account;
  const bytes = (what: string) => account.find((item) => item.what === what)!.bytes;
  const frozenBytes = before.get(frozen)!.data.byteLength;
  t.equal(bytes('parameters') - bytes('gradients'), 2 * frozenBytes);

  writeFileSync(file('job.yaml'), `${job}weights: out/weights.safetensors\nfrozen: ["nothing.*"]\n`);
  const refused = await cluster.ask(['submit', 'job.yaml'], folder);
  t.equal(refused.code, 2);
  t.match(
    refused.stderr,
    /job\.yaml:\d+: frozen: "nothing\.\*" fits no parameter of the model; the closest are "/,
  );
});
