import t from 'tap';
import {
  attribute,
  buildEvaluationGraph,
  buildTrainingGraph,
  checkCounts,
  evaluate,
  fixedStatistics,
  LOSS_SCALE,
  ModelError,
  runningStatistics,
  setBatchNormalization,
  tensorOf,
  toReference,
  type Graph,
  type Node,
  type Reference,
  type Tensor,
} from '../../../graph/index.js';

const node = (operator: string, inputs: string[], outputs: string[], training?: number): Node => ({
  name: outputs[0]!,
  operator,
  domain: '',
  inputs,
  outputs,
  attributes: training === undefined ? {} : { training_mode: attribute.int(training) },
});
const normalization = (x: string, y: string, training: number, more: string[] = []) =>
  node('BatchNormalization', [x, 'scale', 'bias', 'mean', 'variance'], [y, ...more], training);
const pair = (a: number, b: number) => tensorOf('float32', [2], [a, b]);

function graphOf(nodes: readonly Node[], constants: Readonly<Record<string, Tensor>> = {}): Graph {
  return {
    name: 'g',
    inputs: [{ name: 'x', dtype: 'float32', shape: ['N', 2] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: ['N', 2] }],
    nodes,
    parameters: new Map([
      ['scale', pair(1, 2)],
      ['bias', pair(0, 1)],
    ]),
    constants: new Map(Object.entries({ mean: pair(0.5, -0.5), variance: pair(1, 4), ...constants })),
  };
}
const binding = { batch: 4, loss: 'mse' } as const;
const input: Reference = {
  dtype: 'float32',
  shape: [4, 2],
  data: Float64Array.of(1, 2, 3, 5, 5, 7, 7, 10),
};

t.test('nodes train as the job says, whatever the exporter wrote', (t) => {
  const graph = graphOf([normalization('x', 'h', 1), normalization('h', 'y', 0)]);
  const modes = ({ nodes }: Graph) =>
    nodes.map(({ attributes }) => attributes['training_mode'] !== undefined);
  t.equal(setBatchNormalization(graph, 'exported'), graph);
  const train = setBatchNormalization(graph, 'train');
  t.ok(train.nodes.every(({ attributes }) => attributes['training_mode']?.value === 1));
  const frozen = setBatchNormalization(graph, 'freeze');
  t.same(modes(frozen), [false, false]);
  t.equal(runningStatistics(frozen).size, 0);
  t.same([...fixedStatistics(frozen).keys()], ['mean', 'variance']);
  t.same([...runningStatistics(train).keys()], ['mean', 'variance']);
  t.equal(fixedStatistics(train).size, 0);
  t.end();
});

t.test('frozen, a node whose updated statistics are used passes on those that it was given', (t) => {
  const graph = graphOf([
    normalization('x', 'h', 1, ['new_mean', 'unused']),
    node('Add', ['h', 'new_mean'], ['y']),
  ]);
  const { nodes } = setBatchNormalization(graph, 'freeze');
  t.same(
    nodes.map(({ operator, inputs, outputs }) => [operator, inputs.at(-2), outputs]),
    [
      ['BatchNormalization', 'mean', ['h']],
      ['Identity', undefined, ['new_mean']],
      ['Add', 'h', ['y']],
    ],
  );
  t.same(nodes[1]!.inputs, ['mean']);
  t.end();
});

t.test(
  'the training graph gives mean and population variance; nodes that share statistics one entry each',
  (t) => {
    const graph = graphOf([
      normalization('x', 'h', 1),
      node('Tanh', ['h'], ['i']),
      normalization('i', 'y', 1),
    ]);
    const training = buildTrainingGraph(graph, binding);
    t.match(training.statistics, [
      { node: 'h', mean: { buffer: 'mean' }, variance: { buffer: 'variance' }, count: 4 },
      { node: 'y', mean: { buffer: 'mean' }, variance: { buffer: 'variance' }, count: 4 },
    ]);
    t.equal(training.statistics[0]!.momentum, 0.9, 'ONNX’s default');
    t.same(training.running, [], 'nothing reads the running ones');
    t.notOk(training.graph.inputs.includes('mean'));
    t.equal(new Set(training.graph.outputs).size, training.graph.outputs.length);
    const values = new Map([...graph.parameters].map(([name, tensor]) => [name, toReference(tensor)]));
    values.set('x', input).set(training.target.name, input);
    values.set(LOSS_SCALE, { dtype: 'float32', shape: [], data: Float64Array.of(1) });
    const results = evaluate(training.graph, values);
    const [first] = training.statistics;
    t.same([...results.get(first!.mean.output)!.data], [4, 6]);
    t.same([...results.get(first!.variance.output)!.data], [5, 8.5]);
    t.end();
  },
);

t.test('evaluation takes the running statistics as inputs, and normalizes with them', (t) => {
  const graph = graphOf([normalization('x', 'y', 1)]);
  const evaluation = buildEvaluationGraph(graph, binding);
  t.same(evaluation.running, ['mean', 'variance']);
  const values = new Map([...graph.parameters].map(([name, tensor]) => [name, toReference(tensor)]));
  values.set('x', input).set(evaluation.target.name, input);
  values.set('mean', { dtype: 'float32', shape: [2], data: Float64Array.of(1, 2) });
  values.set('variance', { dtype: 'float32', shape: [2], data: Float64Array.of(4, 1) });
  const { data } = evaluate(evaluation.graph, values).get(evaluation.output)!;
  const wanted = input.data.map((x, i) => (i % 2 === 0 ? (x - 1) / 2 : 2 * (x - 2) + 1));
  t.ok(data.every((y, i) => Math.abs(y - wanted[i]!) < 1e-4));
  t.same(buildEvaluationGraph(setBatchNormalization(graph, 'freeze'), binding).running, [], 'else constants');
  t.end();
});

t.test('a node that does not train reads the statistics of one that does', (t) => {
  const training = buildTrainingGraph(
    graphOf([normalization('x', 'h', 1), normalization('h', 'y', 0)]),
    binding,
  );
  t.equal(training.statistics.length, 1);
  t.same(training.running, ['mean', 'variance']);
  t.ok(training.running.every((name) => training.graph.inputs.includes(name)));
  t.end();
});

t.test('statistics behind an Identity are a tensor of their own', (t) => {
  const graph = graphOf([
    node('Identity', ['bias'], ['own']),
    node('BatchNormalization', ['x', 'scale', 'bias', 'own', 'variance'], ['y'], 1),
  ]);
  const state = runningStatistics(graph);
  t.same([...state.get('own')!.data], [0, 1]);
  t.match(buildTrainingGraph(graph, binding).statistics, [{ mean: { buffer: 'own' } }]);
  t.same([...buildEvaluationGraph(graph, binding).running].sort(), ['own', 'variance']);
  t.end();
});

t.test('what cannot be state is refused, with what to do', (t) => {
  const reading = (mean: string, more: Node[] = [], constants = {}) =>
    graphOf(
      [...more, node('BatchNormalization', ['x', 'scale', 'bias', mean, 'variance'], ['y'], 1)],
      constants,
    );
  const cases: readonly (readonly [Graph, RegExp])[] = [
    [reading('bias'), /node "y" .* running mean "bias" is a trained parameter too.*TrainingMode\.TRAINING/],
    [reading('m', [node('Neg', ['mean'], ['m'])]), /"m" is computed by the model; an initializer/],
    [
      reading('m', [], { m: tensorOf('float64', [2], [0, 0]) }),
      /"m" is float64\[2\]; float32 would be accepted/,
    ],
  ];
  for (const [graph, message] of cases) {
    t.throws(() => runningStatistics(graph), { message });
    t.throws(() => buildTrainingGraph(graph, binding), ModelError);
    t.doesNotThrow(() => buildTrainingGraph(setBatchNormalization(graph, 'freeze'), binding));
  }
  t.end();
});

t.test('one value a channel has no variance', (t) => {
  const statistics = [{ node: 'bn', count: 8 }];
  t.doesNotThrow(() => checkCounts(statistics, 8, 2));
  t.throws(() => checkCounts(statistics, 8, 1), {
    code: 'bad_model',
    message: /"bn".*only 1 sample at once/,
  });
  t.doesNotThrow(() => checkCounts([{ node: 'bn', count: 32 }], 8, 1), 'images have a space to average over');
  t.doesNotThrow(() => checkCounts([], 8, 1));
  t.end();
});
