import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { sha256 } from '../../../base/index.js';
import { inspectJob } from '../../../coordinator/prepare/inspect.js';
import { attribute, tensorOf, writeGraph, type Graph } from '../../../graph/index.js';
import { linear, model, tensor } from '../../../graph/nn/index.js';
import { referenceTo, type JobSpec } from '../../../protocol/index.js';

const DOUBLE = 11; // TensorProto.DOUBLE
const plain = model({ input: tensor(2), layers: linear(1) }).graph;

/** Inspects a job of the model on three rows of two features and a target. */
async function inspect(graph: Graph, change: Partial<JobSpec> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'dtrain-test-'));
  const artifact = (name: string, bytes: Uint8Array): [string, string] => {
    writeFileSync(join(folder, name), bytes);
    return [sha256(bytes), join(folder, name)];
  };
  const data = artifact('data.csv', Buffer.from('1,2,3\n4,5,6\n7,8,9\n'));
  const onnx = artifact('model.onnx', writeGraph(graph));
  try {
    return await inspectJob(
      {
        name: 'table',
        model: referenceTo(onnx[0]),
        data: { train: { format: 'csv', path: referenceTo(data[0]), target: -1, header: false } },
        loss: 'mse',
        optimizer: { kind: 'sgd', lr: 0.1 },
        batch: 2,
        ...change,
      },
      new Map([data, onnx]),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

t.test('a float32 model with parameters', async (t) => {
  t.match(await inspect(plain), {
    rows: 3,
    model: {
      layers: {
        units: [
          {
            parameters: [
              { name: 'weight', bytes: 8 },
              { name: 'bias', bytes: 4 },
            ],
          },
        ],
        cuts: [],
      },
      job: { stateFactor: 0, batchBytesPerSample: 12 },
    },
  });
});

t.test('parameters of another type are refused by name', async (t) => {
  const { shape } = plain.parameters.get('weight')!;
  const parameters = new Map(plain.parameters);
  parameters.set('weight', { dtype: 'float64', shape, data: new Float64Array(2) });
  await t.rejects(inspect({ ...plain, parameters }), {
    family: 'user',
    code: 'bad_model',
    message: /parameter "weight" is float64; dtrain trains float32/,
  });
});

t.test('so is an output of another type', async (t) => {
  const cast = { name: 'cast', operator: 'Cast', domain: '', attributes: { to: attribute.int(DOUBLE) } };
  const graph: Graph = {
    ...plain,
    nodes: [...plain.nodes, { ...cast, inputs: ['output'], outputs: ['wide'] }],
    outputs: [{ name: 'wide', dtype: 'float64', shape: ['batch', 1] }],
  };
  await t.rejects(inspect(graph), { code: 'bad_model', message: /its output is float64/ });
});

t.test('and a model without anything to train', async (t) => {
  const sum = { name: 'sum', operator: 'ReduceSum', domain: '', attributes: {} };
  const graph: Graph = {
    ...plain,
    nodes: [{ ...sum, inputs: ['input', 'axes'], outputs: ['output'] }],
    parameters: new Map(),
    constants: new Map([['axes', { dtype: 'int64', shape: [1], data: BigInt64Array.of(1n) }]]),
  };
  await t.rejects(inspect(graph), { code: 'bad_model', message: /nothing to train/ });
});

/** `plain` behind a BatchNormalization of its two features. */
function normalized(training: number): Graph {
  const pair = (value: number) => tensorOf('float32', [2], [value, value]);
  const [first] = plain.nodes;
  const normalization = {
    name: 'bn',
    operator: 'BatchNormalization',
    domain: '',
    inputs: ['input', 'scale', 'shift', 'mean', 'variance'],
    outputs: ['normal'],
    attributes: { training_mode: attribute.int(training) },
  };
  const rest = plain.nodes.map((node) =>
    node === first
      ? { ...node, inputs: node.inputs.map((name) => (name === 'input' ? 'normal' : name)) }
      : node,
  );
  return {
    ...plain,
    nodes: [normalization, ...rest],
    parameters: new Map([...plain.parameters, ['scale', pair(1)], ['shift', pair(0)]]),
    constants: new Map([...plain.constants, ['mean', pair(0)], ['variance', pair(1)]]),
  };
}

t.test(
  'BatchNormalization trains where the exporter or the job says so, and that is planned for',
  async (t) => {
    const moved = async (training: number, batchNormalization?: JobSpec['batchNormalization']) => {
      const change = batchNormalization ? { batchNormalization } : {};
      const { model } = await inspect(normalized(training), { batch: 3, ...change });
      return model.layers.units.reduce((sum, { forward }) => sum + forward.movedBytes, 0);
    };
    const without = await moved(0);
    const taken = await moved(1);
    t.ok(taken > without, 'the statistics of a batch are computed');
    t.equal(await moved(0, 'train'), taken);
    t.equal(await moved(1, 'freeze'), without);
  },
);

t.test('steps that would have a single sample are refused where the job gets to them', async (t) => {
  const refused = {
    code: 'bad_model',
    message: /node "bn" .*only 1 sample at once.*batchNormalization: freeze/,
  };
  await t.rejects(inspect(normalized(1)), refused, 'three rows in batches of two');
  await t.rejects(inspect(normalized(1), { batch: 1 }), refused);
  await t.resolves(inspect(normalized(1), { steps: 1 }));
  await t.resolves(inspect(normalized(1), { batch: 3 }));
  await t.resolves(inspect(normalized(1), { batchNormalization: 'freeze' }));
  await t.resolves(inspect(normalized(0)));
});

t.test('the loss compares the output that the job names', async (t) => {
  const [first] = plain.outputs;
  const doubled = { name: 'double', operator: 'Add', domain: '', attributes: {} };
  const hardmax = { name: 'hardmax', operator: 'Hardmax', domain: '', attributes: {} };
  const graph: Graph = {
    ...plain,
    nodes: [
      ...plain.nodes,
      { ...doubled, inputs: ['output', 'output'], outputs: ['doubled'] },
      { ...hardmax, inputs: ['output'], outputs: ['hard'] },
    ],
    outputs: ['hard', 'output', 'doubled'].map((name) => ({ ...first!, name })),
  };
  t.match(await inspect(graph, { lossOutput: 'doubled' }), { rows: 3 });
  t.match(await inspect(graph, { lossOutput: 'output' }), { rows: 3 }, 'nothing is asked of the others');
  const refused = { code: 'bad_model', message: /nothing to train/ };
  await t.rejects(inspect(graph), refused, 'the first, where none is named: no gradient passes a Hardmax');
  await t.rejects(inspect(graph, { lossOutput: 'dubled' }), {
    family: 'user',
    code: 'bad_loss',
    message:
      'lossOutput: the model has no output "dubled"; it has "doubled", "hard", "output". Without this key the loss compares the first, "hard"',
  });
});
