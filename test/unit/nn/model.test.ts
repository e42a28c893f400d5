import t from 'tap';
import {
  bindGraph,
  buildEvaluationGraph,
  buildTrainingGraph,
  evaluate,
  fromReference,
  LOSS_SCALE,
  readModel,
  sizeOf,
  toReference,
  writeGraph,
  type Graph,
  type LossKind,
  type Reference,
} from '../../../graph/index.js';
import {
  conv2d,
  dropout,
  embedding,
  fn,
  gpt,
  ids,
  isModel,
  LayerError,
  linear,
  mean,
  model,
  module,
  NotAModelError,
  residual,
  selfAttention,
  sequential,
  tanh,
  tensor,
  toGraph,
  type Layer,
} from '../../../graph/nn/index.js';
import { image, layers } from './layers.js';

for (const [name, layer, input, shape] of layers) {
  t.test(name, async (t) => {
    const { graph } = model({
      input,
      layers: sequential(
        layer,
        fn((x) => x.times(1)),
      ),
    });
    const bound = bindGraph(graph, { batch: 2 });
    t.same(bound.types.get('output')!.shape, shape);
    t.same(graph.outputs[0]!.shape, ['batch', ...shape.slice(1)]);
    const training = buildTrainingGraph(graph, { batch: 2, loss: 'mse' });
    t.same(training.withoutGradient, []);
    const values = randomValues(graph, training.graph.inputs, (value) => training.graph.types.get(value)!);
    for (const mask of training.dropout) values.set(mask.input, filled(mask.shape, 1 / (1 - mask.ratio)));
    values.set(LOSS_SCALE, filled([], 1));
    const results = evaluate(training.graph, values);
    for (const gradient of training.gradients.values()) {
      t.ok(results.get(gradient)!.data.every(Number.isFinite), 'gradients are finite');
    }
  });
}

t.test('a model over several inputs, with shared modules', async (t) => {
  const built = model({
    inputs: { words: ids(4), extra: tensor(3) },
    modules: { table: embedding(10, 3), pool: mean(1), mix: linear(3), head: linear(2) },
    forward: ({ words, extra }, m) => m.head(m.mix(m.pool(m.table(words))).plus(m.mix(extra))),
  });
  t.same(
    [...built.graph.parameters.keys()],
    ['table.weight', 'mix.weight', 'mix.bias', 'head.weight', 'head.bias'],
  );
  t.equal(built.parameterCount, 30 + 12 + 8);
  t.same(bindGraph(built.graph, { batch: 5 }).types.get('output')!.shape, [5, 2]);
});

t.test('gpt has PyTorch-like names and is the same for the same seed', async (t) => {
  const options = { vocabulary: 11, context: 4, width: 8, heads: 2, layers: 2 };
  const first = gpt({ ...options, seed: 3 });
  t.match([...first.graph.parameters.keys()].slice(0, 8), [
    'tokens.weight',
    'positions.weight',
    'blocks.0.norm1.weight',
    'blocks.0.norm1.bias',
    'blocks.0.attention.qkv.weight',
    'blocks.0.attention.qkv.bias',
    'blocks.0.attention.out.weight',
    'blocks.0.attention.out.bias',
  ]);
  const file = (seed: number) => Buffer.from(writeGraph(gpt({ ...options, seed }).graph));
  t.ok(file(3).equals(file(3)));
  t.notOk(file(3).equals(file(4)));
  t.ok(first.graph.nodes.some(({ name }) => name.startsWith('blocks.1.attention/')));
});

t.test('no place of a gpt sees what comes after it', async (t) => {
  const { graph } = gpt({ vocabulary: 11, context: 4, width: 8, heads: 2, layers: 2, seed: 1 });
  const bound = bindGraph(graph, { batch: 1 });
  const logits = (tokens: readonly number[]) => {
    const values = parameterValues(graph).set('input', {
      dtype: 'int64',
      shape: [1, 4],
      data: Float64Array.from(tokens),
    });
    return evaluate(bound, values).get('output')!.data;
  };
  const [a, b] = [logits([1, 2, 3, 4]), logits([1, 2, 9, 0])];
  t.same(a.slice(0, 22), b.slice(0, 22));
  t.notSame(a.slice(22), b.slice(22));
});

t.test('a model survives ONNX', async (t) => {
  const { graph } = gpt({ vocabulary: 11, context: 4, width: 8, heads: 2, layers: 1, dropout: 0.1 });
  const again = readModel(writeGraph(graph)).graph;
  t.same([...again.parameters.keys()], [...graph.parameters.keys()]);
  const values = (source: Graph) =>
    parameterValues(source).set('input', {
      dtype: 'int64',
      shape: [1, 4],
      data: Float64Array.of(1, 2, 3, 4),
    });
  const run = (source: Graph) =>
    evaluate(bindGraph(source, { batch: 1 }), values(source)).get('output')!.data;
  const [read, built] = [run(again), run(graph)];
  // attributes are float32 in a file
  t.ok(read.every((number, i) => Math.abs(number - built[i]!) < 1e-7));
});

t.test('gradient descent lowers the loss', async (t) => {
  const { graph } = model({ input: tensor(4), layers: sequential(linear(8), tanh(), linear(3)), seed: 2 });
  const training = buildTrainingGraph(graph, { batch: 6, loss: 'cross_entropy' });
  const values = randomValues(graph, training.graph.inputs, (value) => training.graph.types.get(value)!);
  values.set(LOSS_SCALE, filled([], 1));
  values.set(training.target.name, { dtype: 'int64', shape: [6], data: Float64Array.of(0, 1, 2, 0, 1, 2) });
  const losses: number[] = [];
  for (let step = 0; step < 30; step++) {
    const results = evaluate(training.graph, values);
    losses.push(results.get(training.loss)!.data[0]!);
    for (const [parameter, value] of training.gradients) {
      const before = values.get(parameter)!;
      const gradient = results.get(value)!.data;
      values.set(parameter, { ...before, data: before.data.map((number, i) => number - 0.5 * gradient[i]!) });
    }
  }
  t.ok(losses.at(-1)! < 0.6 * losses[0]!, `${losses[0]} to ${losses.at(-1)}`);
});

t.test('dropout drops in training and not in evaluation', async (t) => {
  const { graph } = model({ input: tensor(6), layers: sequential(dropout(0.25), linear(2)) });
  const loss: LossKind = 'mse';
  const training = buildTrainingGraph(graph, { batch: 3, loss });
  t.same(training.dropout, [{ input: 'dropout.0', shape: [3, 6], ratio: 0.25, index: 0 }]);
  const evaluation = buildEvaluationGraph(graph, { batch: 3, loss });
  t.same(evaluation.graph.inputs, ['input', 'target']);
});

t.test('errors name the layer and what it is given', async (t) => {
  const build =
    (layer: Layer, input = tensor(5, 8)) =>
    () =>
      model({ input, layers: layer });
  t.throws(build(linear(4), ids(3)), { message: /linear: needs a float32 .* int64\[batch,3\]/ });
  t.throws(build(embedding(4, 4)), { message: /embedding: looks up int64 ids.*ids\(\)/ });
  t.throws(build(selfAttention({ heads: 3 })), { message: /3 heads do not divide a width of 8/ });
  t.throws(build(conv2d(3, 20), image), { message: /a window of 20 does not fit/ });
  t.throws(build(conv2d(3, 2)), { message: /conv2d: needs a float32 \[batch, channels, height, width\]/ });
  t.throws(build(conv2d(4, 2, { groups: 2 }), image), { message: /2 groups do not divide 3 input/ });
  t.throws(build(residual(linear(3))), { message: /residual: the layer makes float32\[batch,5,3\]/ });
  t.throws(build(fn((x) => x)), { message: /computes nothing/ });
  t.throws(build(fn((x) => x.reshape(7))), { message: /40 elements a sample, \[7\] 7/ });
  t.throws(build(fn((x) => x.transpose(0, 0, 1))), LayerError);
  t.throws(build(fn((x) => x.matmul(x))), LayerError);
  t.throws(build(module({ a: linear(3) }, (x, { a }) => x.plus(a(x)))), { message: /do not broadcast/ });
  t.throws(() => linear(0), { message: /outputs is 0/ });
  t.throws(() => dropout(1), LayerError);
});

t.test('what a module exports', async (t) => {
  const built = model({ input: tensor(2), layers: linear(1) });
  t.ok(isModel(built));
  t.notOk(isModel({ kind: 'dtrain.model' }));
  t.equal(toGraph(built), built.graph);
  t.equal(toGraph(built.graph), built.graph);
  t.throws(() => toGraph(undefined), { message: /no default export/ });
  t.throws(() => toGraph(linear(3)), { message: /a layer \(give it to model/ });
  t.throws(() => toGraph(() => built), { message: /a function/ });
  t.throws(() => toGraph({ a: 1 }), NotAModelError);
});

function filled(shape: readonly number[], value: number): Reference {
  return { dtype: 'float32', shape, data: new Float64Array(sizeOf(shape)).fill(value) };
}

function parameterValues(graph: Graph): Map<string, Reference> {
  return new Map([...graph.parameters].map(([name, tensor]) => [name, toReference(tensor)]));
}

function randomValues(
  graph: Graph,
  inputs: readonly string[],
  typeOf: (value: string) => { dtype: Reference['dtype']; shape: readonly number[] },
): Map<string, Reference> {
  const values = parameterValues(graph);
  for (const input of inputs) {
    const { dtype, shape } = typeOf(input);
    const data = Float64Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(i * 12.9898 + 1));
    values.set(
      input,
      toReference(fromReference({ dtype, shape, data: dtype === 'int64' ? data.fill(1) : data })),
    );
  }
  return values;
}
