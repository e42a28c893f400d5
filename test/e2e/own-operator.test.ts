import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { readModel, writeGraph } from '../../graph/index.js';
import { custom, linear, model, sequential, tensor, type Layer } from '../../graph/nn/index.js';
import { ModelProtoSchema } from '../../graph/onnx/gen/onnx_pb.js';
import type { JobRecord, MetricRow } from '../../protocol/index.js';
import { repositoryRoot } from '../root.js';
import { snake } from '../unit/custom/snake.js';
import { UpCluster } from './cluster.js';

t.setTimeout(300_000);
const examples = join(repositoryRoot, 'examples');
const snakeModule = readFileSync(join(examples, 'own-operator/snake.ts'), 'utf8');
const moons = readFileSync(join(examples, 'tabular/moons.csv'), 'utf8');
const JOB = readFileSync(join(examples, 'own-operator/job.yaml'), 'utf8')
  .replaceAll('../tabular/moons.csv', 'moons.csv')
  .replace('../../.demo/moons-snake', 'out');

/** As an exporter writes it: a node of another domain, and nothing that says what it is. */
const plainModel = (() => {
  const wave: Layer = {
    apply: (x, scope) =>
      custom(
        snake,
        x,
        scope.parameter('alpha', [16], (data) => data.fill(1)),
        { scale: 1, shift: 0 },
      ),
  };
  const net = model({
    name: 'plain',
    input: tensor(4),
    layers: sequential(linear(16), wave, linear(2)),
    seed: 5,
  });
  const file = fromBinary(ModelProtoSchema, writeGraph(net.graph));
  return Buffer.from(toBinary(ModelProtoSchema, { ...file, metadataProps: [] }));
})();
/** With the attributes that the file's nodes have. */
const operatorsModule = snakeModule.replace(
  "output: 'x',",
  "output: 'x',\n  attributes: { scale: 1, shift: 0 },",
);

t.test('the example trains with an operator of its own on gpu.js, and its results keep it', async (t) => {
  const cluster = await UpCluster.start(['wasm:0,memory=1GiB,threads=1']);
  const output = join(t.testdir({}), 'out');
  const job = join(examples, 'own-operator/job.yaml');
  const ended = await cluster.dtrain(['submit', job, '--follow', '--json', '--set', `output=${output}`]);
  t.equal(ended.code, 0, ended.stderr);
  const record = JSON.parse(ended.stdout) as JobRecord;
  t.ok(record.validationAccuracy! > 0.9, `accuracy ${record.validationAccuracy}`);
  const { graph, proto } = readModel(readFileSync(join(output, 'model.onnx')));
  t.same(
    graph.nodes.filter(({ domain }) => domain === 'my.ops').map(({ operator }) => operator),
    ['Snake', 'Snake'],
  );
  t.ok(
    proto.metadataProps.some(({ key, value }) => key === 'dtrain.operators' && value?.includes('Math.sin')),
  );
  const [alpha] = [...graph.parameters].filter(([name]) => name.endsWith('alpha'));
  t.ok(
    (alpha![1].data as Float32Array).some((x) => Math.abs(x - 1) > 0.01),
    'alpha was trained',
  );

  const folder = t.testdir({
    'model.onnx': plainModel,
    'moons.csv': moons,
    'ops.ts': operatorsModule,
    'job.yaml': `operators: ./ops.ts\n${JOB.replace('model: model.ts', 'model: model.onnx').replace('epochs: 40', 'epochs: 30')}`,
    'without.yaml': JOB.replace('model: model.ts', 'model: model.onnx'),
  });
  const planned = await cluster.ask(['plan', 'job.yaml', '--json'], folder);
  t.equal(planned.code, 0, planned.stderr);
  const plain = await cluster.ask(['submit', 'job.yaml', '--follow', '--json'], folder);
  t.equal(plain.code, 0, plain.stderr);
  t.ok(
    (JSON.parse(plain.stdout) as JobRecord).validationAccuracy! > 0.8,
    'an ONNX file with a node of another domain',
  );
  t.equal((await cluster.stop()).code, 0);
});

t.test('onnxruntime and gpu.js train it together, as stages, like gpu.js alone', async (t) => {
  const cluster = await UpCluster.start(['cpu:0,memory=768MiB,threads=1', 'wasm:0,memory=1GiB,threads=1']);
  t.teardown(() => cluster.stop());
  const job = join(examples, 'own-operator/job.yaml');
  const train = async (parallelism: string) => {
    const output = join(t.testdir({}), 'out');
    const sets = [`output=${output}`, 'steps=8', `parallelism=${parallelism}`].flatMap((each) => [
      '--set',
      each,
    ]);
    const ended = await cluster.ask(['submit', job, '--follow', '--json', ...sets, '--set', 'epochs=null']);
    t.equal(ended.code, 0, ended.stderr);
    const rows = readFileSync(join(output, 'metrics.jsonl'), 'utf8').trim().split('\n');
    const losses = rows.flatMap((row) => (JSON.parse(row) as MetricRow).loss ?? []);
    return { losses, record: JSON.parse(ended.stdout) as JobRecord };
  };
  const alone = await train('{ pipeline: 1, data: 1 }');
  t.same(alone.record.devices, ['host/wasm:0'], 'the one that can');
  const mixed = await train('{ pipeline: 2, data: 1, microBatches: 2 }');
  t.same([...mixed.record.devices].sort(), ['host/cpu:0', 'host/wasm:0']);
  t.equal(mixed.losses.length, 8);
  mixed.losses.forEach((loss, i) => {
    const wanted = alone.losses[i]!;
    t.ok(Math.abs(loss - wanted) <= 1e-3 * wanted, `step ${i + 1}: ${loss}, alone ${wanted}`);
  });
});

t.test('what cannot be run or trusted is refused at submit', async (t) => {
  const cluster = await UpCluster.start(['cpu:0,memory=512MiB,threads=1']);
  const refused = async (files: Record<string, string | Buffer>, ...messages: readonly RegExp[]) => {
    const folder = t.testdir({ 'moons.csv': moons, 'job.yaml': JOB, ...files });
    const ended = await cluster.ask(['submit', 'job.yaml', '--json'], folder);
    t.equal(ended.code, 2, ended.stderr);
    const { error } = JSON.parse(ended.stdout) as { error: { message: string } };
    for (const message of messages) t.match(error.message, message);
    t.notMatch(ended.stderr, /\n\s+at /, 'no stack');
  };
  const model = readFileSync(join(examples, 'own-operator/model.ts'), 'utf8');
  await refused(
    { 'snake.ts': snakeModule, 'model.ts': model },
    /host\/cpu:0 cannot run .*operator my\.ops:Snake.*engine=gpujs/,
  );
  await refused(
    {
      'snake.ts': snakeModule.replace('return dy[i]! * (1 + Math.sin', 'return dy[i]! * (2 + Math.sin'),
      'model.ts': model,
    },
    /job\.yaml:\d+: model: model\.ts: operator my\.ops\.Snake: gradient of x: at element \d+ of \[2, 32\] the kernel gives/,
  );
  const wicked = snakeModule.replace('const i = this.thread.x;', 'const i = this.thread.x; process.exit(7);');
  const withOperators = {
    'model.onnx': plainModel,
    'job.yaml': `operators: ops.ts\n${JOB.replace('model: model.ts', 'model: model.onnx')}`,
  };
  await refused(
    { ...withOperators, 'ops.ts': wicked },
    /^job\.yaml:1: operators: ops\.ts: line 12: operator my\.ops\.Snake: forward, line 1, column \d+: this does nothing/,
    /process\.exit\(7\)/,
  );
  await refused({ ...withOperators, 'ops.ts': 'export const three = 3;' }, /ops\.ts: it exports no operator/);
  await refused(
    { 'model.onnx': plainModel, 'job.yaml': JOB.replace('model: model.ts', 'model: model.onnx') },
    /my\.ops\.Snake, which dtrain does not know.*own-operators\.md/,
  );
  t.equal((await cluster.stop()).code, 0);
});
