import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { command } from '../../e2e/in-process.js';
import { dtrain } from '../../e2e/process.js';
import { npy } from '../../unit/data/make.js';
import { repositoryRoot } from '../../root.js';

t.setTimeout(200_000); // a process a command, on machines that may be busy

const JOB = `
name: small
model: model.onnx
data:
  train: { format: npy, features: x.npy, target: y.npy }
loss: cross_entropy
optimizer: { kind: adamw, lr: 0.001 }
batch: 16
`;
const CLUSTER = `
devices:
  - { id: a/cpu:0, host: a, kind: cpu, memory: 2GiB, flops: 100e9 }
  - { id: b/cpu:0, host: b, kind: cpu, memory: 1GiB, flops: 50e9 }
links:
  - { between: [a, b], bandwidth: 1e9, latency: 0.0002 }
`;

interface Planned {
  readonly predictedStepSeconds: number;
  readonly stages: readonly {
    readonly nodes: readonly string[];
    readonly replicas: readonly {
      readonly device: string;
      readonly samplesPerStep: number;
      readonly predictedPeakBytes: number;
      readonly budgetBytes: number;
    }[];
  }[];
}

function folderOf(t: Test, files: Readonly<Record<string, string>> = {}): string {
  const folder = t.testdir({ 'job.yaml': JOB, 'cluster.yaml': CLUSTER, ...files });
  const model = readFileSync(join(repositoryRoot, 'test/fixtures/models/lenet/model.onnx'));
  writeFileSync(join(folder, 'model.onnx'), model);
  writeFileSync(join(folder, 'x.npy'), npy('<f4', [64, 1, 28, 28], new Uint8Array(4 * 64 * 28 * 28)));
  writeFileSync(join(folder, 'y.npy'), npy('<i8', [64], new Uint8Array(8 * 64)));
  return folder;
}

const WORDS = ['plan', 'job.yaml', '--cluster', 'cluster.yaml'];
const plan = (folder: string, ...more: readonly string[]) => command([...WORDS, ...more], { cwd: folder });

t.test('a device on paper may lack operators, and take no large value', async (t) => {
  const gpu = (more: string) => `
devices:
  - { id: a/webgpu:0, host: a, kind: webgpu, engine: gpujs, memory: 2GiB, flops: 100e9, ${more} }
`;
  const lacking = await plan(folderOf(t, { 'cluster.yaml': gpu('operators: [Conv, Gemm, Relu]') }), '--json');
  t.equal(lacking.code, 2, lacking.stderr);
  t.match(JSON.parse(lacking.stdout), {
    error: {
      code: 'cannot_run',
      message: /a\/webgpu:0 cannot run layer .*operator/,
      devices: ['a/webgpu:0'],
    },
  });
  const small = await plan(folderOf(t, { 'cluster.yaml': gpu('maxBufferBytes: 1KiB') }));
  t.equal(small.code, 2);
  t.match(small.stderr, /exceeds its largest binding of 1.00 KiB/);
  const odd = await plan(folderOf(t, { 'cluster.yaml': gpu('maxBufferBytes: lots') }));
  t.match(odd.stderr, /cluster.yaml:3.*maxBufferBytes.*"lots" is not a size/);
  const fine = await plan(folderOf(t, { 'cluster.yaml': gpu('maxBufferBytes: 128MiB') }), '--json');
  t.equal(fine.code, 0, fine.stderr);
});

t.test('a job is planned for a cluster on paper', async (t) => {
  const folder = folderOf(t);
  const { stdout, code, stderr } = await plan(folder, '--json');
  t.equal(code, 0, stderr);
  const planned = JSON.parse(stdout) as Planned;
  t.ok(planned.predictedStepSeconds > 0);
  const replicas = planned.stages.flatMap((stage) => stage.replicas);
  t.ok(replicas.every((replica) => replica.predictedPeakBytes <= replica.budgetBytes));
  for (const stage of planned.stages) {
    t.equal(
      stage.replicas.reduce((sum, replica) => sum + replica.samplesPerStep, 0),
      16,
    );
  }
  const nodes = planned.stages.flatMap((stage) => stage.nodes);
  t.equal(new Set(nodes).size, nodes.length, 'every node in one stage');
  const told = await dtrain(WORDS, { cwd: folder });
  t.match(told.stdout, /a step \(.*\)\nbottleneck: .*\nSTAGE +DEVICE/);
});

t.test('a forced pipeline has as many stages', async (t) => {
  const { stdout, code, stderr } = await plan(
    folderOf(t),
    '--json',
    '--set',
    'parallelism={ pipeline: 2, microBatches: 4 }',
  );
  t.equal(code, 0, stderr);
  t.match(JSON.parse(stdout), { schedule: { microBatches: 4 }, stages: [{ index: 0 }, { index: 1 }] });
});

t.test('what is wrong in a cluster file is named with its line', async (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    [CLUSTER.replace('2GiB', 'much'), /cluster\.yaml:3: devices\.0\.memory: .*much/],
    [
      CLUSTER.replace('b/cpu:0', 'a/cpu:0'),
      /cluster\.yaml:4: devices\.1\.id: "a\/cpu:0" is devices\.0 already/,
    ],
    [CLUSTER.replace('[a, b]', '[a, c]'), /cluster\.yaml:6: links\.0\.between\.1: no device is on host "c"/],
    [CLUSTER.replace('flops: 50e9', 'flop: 50e9'), /cluster\.yaml:4: .*flop/],
    ['devices: []', /cluster\.yaml:1: devices/],
  ];
  for (const [cluster, message] of cases) {
    const { code, stderr } = await plan(folderOf(t, { 'cluster.yaml': cluster }));
    t.equal(code, 2, stderr);
    t.match(stderr, message);
  }
});

t.test('a model that fits nowhere is refused with the bytes that are missing', async (t) => {
  const small = CLUSTER.replace('2GiB', '100MiB').replace('1GiB', '100MiB');
  const { code, stdout } = await plan(folderOf(t, { 'cluster.yaml': small }), '--json');
  t.equal(code, 2);
  t.match(JSON.parse(stdout), { error: { code: 'budget_too_small', shortBytes: Number } });
});

t.test('the step of a plan is drawn', async (t) => {
  const folder = folderOf(t);
  const forced = ['--set', 'parallelism.pipeline=2', '--set', 'parallelism.microBatches=4'];
  const text = await plan(folder, ...forced, '--timeline');
  t.equal(text.code, 0, text.stderr);
  t.match(text.stdout, /\n\S+, 4 micro-batches: [\d.]+ m?s, bubble [\d.]+ %\n[ab]\/cpu:0 \|F0/);
  const trace = await plan(folder, ...forced, '--timeline', 'step.json', '--json');
  t.equal(trace.code, 0, trace.stderr);
  t.ok(JSON.parse(trace.stdout));
  t.match(readFileSync(join(folder, 'step.json'), 'utf8'), '"traceEvents":');
  const wrong = await plan(folder, '--timeline', 'step.gif');
  t.equal(wrong.code, 2);
  t.match(wrong.stderr, /step\.gif: a file that ends with \.svg or \.json/);
});
