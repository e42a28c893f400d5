import t from 'tap';
import { Random } from '../../../base/index.js';
import {
  attribute,
  buildStages,
  readModel,
  setLossOutput,
  StageError,
  tensorOf,
  unitsOf,
  type Attributes,
  type DataType,
  type Graph,
  type LossGraphOptions,
  type Node,
  type StageOptions,
  type Tensor,
} from '../../../graph/index.js';
import { recurrentLoop } from '../../unit/graph/bodies.js';
import { compareEvaluation, compareTraining } from './compare.js';
import { cut } from './fixtures.js';

/** A node called as its first output. */
function node(operator: string, inputs: string, outputs: string, attributes: Attributes = {}): Node {
  const names = outputs.split(' ');
  return { name: names[0]!, operator, domain: '', inputs: inputs.split(' '), outputs: names, attributes };
}

const matrix = (seed: number) =>
  tensorOf(
    'float32',
    [4, 4],
    Array.from({ length: 16 }, (_, i) => Math.sin(seed + i)),
  );

interface Parts {
  readonly nodes: readonly Node[];
  readonly parameters: readonly string[];
  readonly constants?: Readonly<Record<string, Tensor>>;
  readonly inputs?: Readonly<Record<string, DataType>>;
  readonly outputs?: readonly string[];
}

/** A model of inputs [N, 4] and parameters [4, 4]. */
function model({
  nodes,
  parameters,
  constants = {},
  inputs = { x: 'float32' },
  outputs = ['y'],
}: Parts): Graph {
  return {
    name: 'odd',
    inputs: Object.entries(inputs).map(([name, dtype]) => ({ name, dtype, shape: ['N', 4] })),
    outputs: outputs.map((name) => ({ name, dtype: 'float32', shape: ['N', 4] })),
    nodes,
    parameters: new Map(parameters.map((name, i) => [name, matrix(i)])),
    constants: new Map(Object.entries(constants)),
  };
}

const plain: LossGraphOptions = { batch: 3, loss: 'mse' };

/** Compares every way to cut a model in two or three with the model in one piece. */
function everyCut(graph: Graph, options: Partial<StageOptions> & LossGraphOptions = plain): string[] {
  const places = graph.nodes.flatMap((_, i) => (i > 0 ? [i] : []));
  const cuts = places.flatMap((a) => [[a], ...places.filter((b) => b > a).map((b) => [a, b])]);
  return cuts.flatMap((at) => {
    const chosen = { ...options, stages: cut(graph, at) };
    const random = () => new Random(at.reduce((sum, place) => 31 * sum + place, 1));
    const { parameters: _, recompute: __, splitBackward: ___, ...evaluation } = chosen;
    const last = at.map(() => false).concat(true);
    return [
      ...compareTraining(graph, chosen, random()),
      ...compareTraining(graph, { ...chosen, splitBackward: true, fused: last }, random()),
      ...compareTraining(graph, { ...chosen, splitBackward: true, recompute: at.map(() => true) }, random()),
      ...compareEvaluation(graph, evaluation, random()),
    ].map((problem) => `cut at ${at.join()}: ${problem}`);
  });
}

t.test('a value that every stage uses, and one that some only pass on', async (t) => {
  const nodes = [
    node('MatMul', 'x w1', 'a'),
    node('Relu', 'a', 'b'),
    node('MatMul', 'b w2', 'c'),
    node('Add', 'c a', 'd'),
    node('Tanh', 'd', 'e'),
    node('Mul', 'e a', 'f'),
    node('Add', 'f x', 'y'),
  ];
  t.strictSame(everyCut(model({ nodes, parameters: ['w1', 'w2'] })), []);
});

t.test('the output is made early and read again: stages behind it pass it on', async (t) => {
  const nodes = [
    node('MatMul', 'x w1', 'y'),
    node('MatMul', 'y w2', 'a'),
    node('Tanh', 'a', 'z'),
    node('Relu', 'z', 'v'),
  ];
  const graph = model({ nodes, parameters: ['w1', 'w2'], outputs: ['y', 'v'] });
  t.strictSame(everyCut(setLossOutput(graph, 'y')), [], 'without what follows');
  t.strictSame(everyCut(graph), [], 'with it');
  t.strictSame(everyCut(graph, { ...plain, output: 'v' }), []);
});

t.test('equal values under two names', async (t) => {
  const nodes = [
    node('MatMul', 'x w1', 'a'),
    node('Tanh', 'a', 'b'),
    node('Tanh', 'a', 'c'),
    node('MatMul', 'b w2', 'd'),
    node('Mul', 'c d', 'y'),
  ];
  t.strictSame(everyCut(model({ nodes, parameters: ['w1', 'w2'] })), []);
});

t.test('integers and truth values cross without gradients', async (t) => {
  const nodes = [
    node('Cast', 'x', 'ids', { to: attribute.int(7) }),
    node('Abs', 'ids', 'some'),
    node('Clip', 'some zero three', 'rows'),
    node('MatMul', 'x w1', 'a'),
    node('Greater', 'a half', 'large'),
    node('Gather', 'w2 rows', 'all', { axis: attribute.int(0) }),
    node('ReduceSum', 'all one', 'picked', { keepdims: attribute.int(0) }),
    node('Where', 'large a picked', 'b'),
    node('ArgMax', 'b', 'best', { axis: attribute.int(1), keepdims: attribute.int(1) }),
    node('Cast', 'best', 'number', { to: attribute.int(1) }),
    node('Mul', 'b number', 'y'),
  ];
  const constants = {
    zero: tensorOf('int64', [], [0]),
    three: tensorOf('int64', [], [3]),
    one: tensorOf('int64', [1], [1]),
    half: tensorOf('float32', [], [0.5]),
  };
  t.strictSame(everyCut(model({ nodes, parameters: ['w1', 'w2'], constants })), []);
});

t.test('stages without parameters, and without anything to differentiate', async (t) => {
  const nodes = [
    node('Tanh', 'x', 'a'),
    node('MatMul', 'a w1', 'b'),
    node('Relu', 'b', 'c'),
    node('MatMul', 'c w2', 'd'),
    node('Tanh', 'd', 'y'),
  ];
  const graph = model({ nodes, parameters: ['w1', 'w2'] });
  t.strictSame(everyCut(graph), []);
  t.strictSame(everyCut(graph, { ...plain, parameters: ['w2'] }), [], 'the first layer frozen');
  t.strictSame(everyCut(graph, { ...plain, parameters: ['w1'] }), [], 'the last layer frozen');
  const [first, second] = buildStages(graph, { ...plain, parameters: ['w2'], stages: cut(graph, [3]) });
  t.strictSame(first!.backward, [undefined]);
  t.strictSame(first!.parameters, ['w1']);
  t.strictSame([first!.receivesGradients, first!.kept, first!.reread], [[], [], []]);
  t.strictSame(second!.sendsGradients, []);
  t.strictSame([...second!.gradients.keys()], ['w2']);
});

t.test('only a stage that no gradients come back to can be one program', async (t) => {
  const nodes = [node('MatMul', 'x w1', 'a'), node('MatMul', 'a w2', 'y')];
  const graph = model({ nodes, parameters: ['w1', 'w2'] });
  const options = { ...plain, stages: cut(graph, [1]) };
  t.throws(() => buildStages(graph, { ...options, fused: [true, true] }), StageError);
  t.throws(() => buildStages(graph, { ...options, fused: [true] }), {
    message: /stage 0 .* stage 1 sends it/,
  });
  const frozen = buildStages(graph, { ...options, parameters: ['w2'], fused: [true, true] });
  t.strictSame(
    frozen.map(({ backward }) => backward),
    [[undefined], [undefined]],
  );
});

t.test('nodes that binding computes, passes by or drops', async (t) => {
  const nodes = [
    node('Shape', 'x', 'shape'),
    node('Gather', 'shape zero', 'rows', { axis: attribute.int(0) }),
    node('MatMul', 'x w1', 'a'),
    node('Identity', 'a', 'same'),
    node('Concat', 'rows rest', 'wanted', { axis: attribute.int(0) }),
    node('Reshape', 'same wanted', 'b'),
    node('Relu', 'b', 'dead'),
    node('Flatten', 'b', 'c'),
    node('MatMul', 'c w2', 'd'),
    node('Identity', 'd', 'y'),
  ];
  const constants = { zero: tensorOf('int64', [1], [0]), rest: tensorOf('int64', [2], [2, 2]) };
  t.strictSame(everyCut(model({ nodes, parameters: ['w1', 'w2'], constants })), []);
});

t.test('names of ours that the model has too', async (t) => {
  const nodes = [
    node('MatMul', 'target w1', 'loss'),
    node('MatMul', 'loss w2', 'grad.loss'),
    node('Add', 'grad.loss loss', 'y'),
  ];
  const graph = model({ nodes, parameters: ['w1', 'w2'], inputs: { target: 'float32' } });
  t.strictSame(everyCut(graph), []);
  const [, last] = buildStages(graph, { ...plain, stages: cut(graph, [1]) });
  t.equal(last!.target!.name, 'target_0', 'the model has an input of this name, though not in this stage');
});

t.test('masks have the numbers that they have in the uncut model', async (t) => {
  const ratio = { half: tensorOf('float32', [], [0.5]), none: tensorOf('float32', [], [0]) };
  const nodes = [
    node('MatMul', 'x w1', 'a'),
    node('Dropout', 'a half', 'b'),
    node('Dropout', 'b none', 'c'),
    node('Dropout', 'c half', 'other'),
    node('Relu', 'c', 'd'),
    node('Dropout', 'd half', 'e'),
    node('MatMul', 'e w2', 'y'),
  ];
  const graph = model({ nodes, parameters: ['w1', 'w2'], constants: ratio, outputs: ['y', 'other'] });
  t.strictSame(everyCut(graph), []);
});

t.test('running statistics', async (t) => {
  const four = (...values: number[]) => tensorOf('float32', [4], values);
  const normalization = (x: string, y: string, names: string, training: number): Node =>
    node('BatchNormalization', `${x} scale bias ${names}`, y, { training_mode: attribute.int(training) });
  const constants = {
    mean: four(0.5, 0, -0.5, 1),
    variance: four(1, 2, 3, 4),
    'other mean': four(0, 0.5, 1, 1.5),
    'other variance': four(2, 2, 1, 1),
  };
  const made = (nodes: readonly Node[]): Graph => {
    const graph = model({ nodes, parameters: ['w1', 'w2'], constants });
    const vectors = [['scale', four(1, 2, 1, 2)] as const, ['bias', four(0, 1, 0, 1)] as const];
    return { ...graph, parameters: new Map([...graph.parameters, ...vectors]) };
  };
  const rename = (each: Node): Node => ({
    ...each,
    inputs: each.inputs.map((name) => name.replace('other_', 'other ')),
  });
  const own = made(
    [
      node('MatMul', 'x w1', 'a'),
      normalization('a', 'b', 'mean variance', 1),
      node('Relu', 'b', 'c'),
      normalization('c', 'd', 'other_mean other_variance', 1),
      node('MatMul', 'd w2', 'y'),
    ].map(rename),
  );
  t.strictSame(everyCut(own), []);
  const shared = made([
    node('MatMul', 'x w1', 'a'),
    normalization('a', 'b', 'mean variance', 1),
    node('Tanh', 'b', 'c'),
    normalization('c', 'd', 'mean variance', 0),
    node('MatMul', 'd w2', 'y'),
  ]);
  t.strictSame(compareTraining(shared, { ...plain, stages: cut(shared, [1, 4]) }, new Random(1)), []);
  const [, middle] = buildStages(shared, { ...plain, stages: cut(shared, [1, 4]) });
  t.strictSame(middle!.running, ['mean', 'variance']);
  t.strictSame(middle!.reread, [], 'which are no values of a micro-batch');
  t.throws(() => buildStages(shared, { ...plain, stages: cut(shared, [3]) }), StageError);
  t.throws(() => buildStages(shared, { ...plain, stages: cut(shared, [3]) }), {
    message:
      'nodes "b" of stage 0 and "d" of stage 1 share the running statistic "mean"; they have to be in one stage',
  });
  const together = unitsOf(shared, plain).find((unit) => unit.includes('b'));
  t.ok(together?.includes('d'), 'and no unit divides them');
});

t.test('what is made of constants does not cross, however many samples there are', async (t) => {
  // [1, 4] repeated for each sample: computed ahead for few samples, and not for many
  const nodes = [
    node('Shape', 'x', 'shape'),
    node('Expand', 'row shape', 'rows'),
    node('Tanh', 'rows', 'bent'),
    node('MatMul', 'x w1', 'a'),
    node('Add', 'a bent', 'b'),
    node('MatMul', 'b w2', 'c'),
    node('Mul', 'c rows', 'd'),
    node('Add', 'd bent', 'y'),
  ];
  const graph = model({
    nodes,
    parameters: ['w1', 'w2'],
    constants: { row: tensorOf('float32', [1, 4], [1, 2, 3, 4]) },
  });
  t.strictSame(everyCut(graph), []);
  const many = { ...plain, batch: 17_000 };
  const stages = cut(graph, [5]);
  t.strictSame(compareTraining(graph, { ...many, stages }, new Random(1)), []);
  const crossing = (batch: number) =>
    buildStages(graph, { ...plain, batch, stages }).map(({ receives }) => receives.map(({ value }) => value));
  t.strictSame(crossing(3), [[], ['b']]);
  t.strictSame(crossing(17_000), [[], ['b']]);
});

t.test('loops written out', async (t) => {
  const { graph } = readModel(recurrentLoop());
  const options = { shapes: { x: [2, 3, 4] }, loss: 'mse' as const };
  t.strictSame(everyCut(graph, options), []);
  const units = unitsOf(graph, options);
  t.ok(units.length > 1);
  t.strictSame(compareTraining(graph, { ...options, stages: units }, new Random(3)), []);
});

t.test('stages that are none', async (t) => {
  const nodes = [node('MatMul', 'x w1', 'a'), node('MatMul', 'a w2', 'y')];
  const graph = model({ nodes, parameters: ['w1', 'w2'] });
  const refused = (stages: string[][], message: RegExp) => {
    t.throws(() => buildStages(graph, { ...plain, stages }), StageError);
    t.throws(() => buildStages(graph, { ...plain, stages }), { message });
  };
  refused([], /one stage or more/);
  refused([['a']], /node "y" \(MatMul\) is in no stage/);
  refused([['a', 'y'], ['y']], /"y" is in stage 0 and in stage 1/);
  refused([['y'], ['a']], /node "y" of stage 0 needs "a", which stage 1 makes/);
});
