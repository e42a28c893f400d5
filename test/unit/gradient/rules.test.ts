import t from 'tap';
import {
  buildTrainingGraph,
  evaluate,
  GraphBuilder,
  standardOperators,
  unsupportedOperators,
  UnsupportedOperatorError,
  type Graph,
  type Node,
  type Reference,
} from '../../../graph/index.js';
import { attribute } from '../../../graph/index.js';
import { Formula } from '../../../graph/formula/index.js';
import { differentiate, differentiableOperators } from '../../../graph/gradient/index.js';

type Write = (f: Formula, x: string) => string;

/** The gradient of the sum of what `write` makes of x. */
function slopes(
  values: readonly number[],
  write: Write,
  shape: readonly number[] = [values.length],
): number[] {
  const builder = new GraphBuilder(standardOperators);
  const f = new Formula(builder);
  const x = builder.input('x', { dtype: 'float64', shape });
  const y = write(f, x);
  const nodes = [...builder.build('forward', [y]).nodes];
  const seed = f.filled(f.shapeOf(y), 1, 'float64');
  const gradient = differentiate(builder, nodes, new Map([[y, seed]]), [x]).get(x);
  if (gradient === undefined) return [];
  const known = new Map<string, Reference>([
    ['x', { dtype: 'float64', shape, data: Float64Array.from(values) }],
  ]);
  return [...evaluate(builder.build('backward', [gradient]), known).get(gradient)!.data];
}

t.test("at kinks and ties the gradient is PyTorch's", async (t) => {
  t.same(
    slopes([-1, 0, 2], (f, x) => f.unary('Relu', x)),
    [0, 0, 1],
  );
  t.same(
    slopes([-1, 0, 2], (f, x) => f.abs(x)),
    [-1, 0, 1],
  );
  t.same(
    slopes([0], (f, x) => f.one('LeakyRelu', [x], { alpha: attribute.float(0.25) })),
    [0.25],
  );
  t.same(
    slopes([-1, 1, 5], (f, x) => f.clip(x, -1, 1)),
    [1, 1, 0],
  );
  // torch.clamp(x, min=0) as exporters write it keeps the gradient at its bound
  t.same(
    slopes([-1, 0, 1], (f, x) => f.max(x, 0)),
    [0, 1, 1],
  );
  // torch.maximum(x, y) of equal values shares it evenly
  t.same(
    slopes([3], (f, x) => f.max(x, f.unary('Identity', x))),
    [1],
  );
  t.same(
    slopes([2, 2, 1], (f, x) => f.reduce('ReduceMax', x, [0])),
    [0.5, 0.5, 0],
  );
  t.same(
    slopes([0, 0], (f, x) => f.reduce('ReduceL2', x, [0])),
    [0, 0],
  );
  t.same(
    slopes([0, 2], (f, x) => f.pow(x, f.constant('float64', [], [0]))),
    [0, 0],
  );
});

t.test('MaxPool gives a window to its first maximum', async (t) => {
  const pool: Write = (f, x) =>
    f.one('MaxPool', [x], { kernel_shape: attribute.ints([2]), strides: attribute.ints([2]) });
  t.same(slopes([5, 5, 1, 7], pool, [1, 1, 4]), [1, 0, 0, 1]);
  const overlapping: Write = (f, x) => f.one('MaxPool', [x], { kernel_shape: attribute.ints([3]) });
  t.same(slopes([1, 4, 4, 2], overlapping, [1, 1, 4]), [0, 2, 0, 0]);
  t.same(
    slopes([3, 3, 1], (f, x) => f.unary('GlobalMaxPool', x), [1, 1, 3]),
    [1, 0, 0],
  );
});

t.test('a value that is used several times gets the sum', async (t) => {
  t.same(
    slopes([2, 3], (f, x) => f.add(f.mul(x, x), x)),
    [5, 7],
  );
});

t.test('what is constant almost everywhere stops the gradient', async (t) => {
  t.same(
    slopes([1.5], (f, x) => f.unary('Floor', x)),
    [],
  );
  t.same(
    slopes([1.5], (f, x) => f.cast(f.cast(x, 'int64'), 'float64')),
    [],
  );
  t.same(
    slopes([1.5, -2], (f, x) => f.mul(x, f.sign(x))),
    [1, -1],
  );
  t.same(
    slopes([1.5, -2], (f, x) => f.where(f.greater(x, 0), x, f.mul(x, 3))),
    [1, 3],
  );
});

const node = (
  name: string,
  operator: string,
  input: string,
  output: string,
  more: Partial<Node> = {},
): Node => ({
  name,
  operator,
  domain: '',
  inputs: [input, 'w'],
  outputs: [output],
  attributes: {},
  ...more,
});

/** x -> first -> second -> output, each with the parameter w. */
function modelOf(nodes: readonly Node[]): Graph {
  return {
    name: 'test',
    inputs: [{ name: 'x', dtype: 'float32', shape: ['batch', 4] }],
    outputs: [{ name: nodes.at(-1)!.outputs[0]!, dtype: 'float32', shape: ['batch', 4] }],
    nodes,
    parameters: new Map([['w', { dtype: 'float32', shape: [4], data: new Float32Array(4) }]]),
    constants: new Map(),
  };
}

t.test('every operator without a rule is told, with its nodes, whether it is standard or not', async (t) => {
  const graph = modelOf([
    node('add', 'Add', 'x', 'a'),
    node('first', 'Det', 'a', 'b'),
    node('odd', 'Fancy', 'b', 'c', { domain: 'com.example' }),
    node('second', 'Det', 'c', 'd'),
  ]);
  t.same(unsupportedOperators(graph), [
    { operator: 'Det', nodes: ['first', 'second'] },
    { operator: 'com.example.Fancy', nodes: ['odd'] },
  ]);
});

t.test('an operator off the way from parameters to the output needs no rule', async (t) => {
  const before = node('before', 'Det', 'x', 'a', {
    inputs: ['x', 'x'],
  });
  t.same(unsupportedOperators(modelOf([before, node('add', 'Add', 'a', 'b')])), []);
  const aside = node('aside', 'Det', 'x', 'z');
  t.same(unsupportedOperators(modelOf([aside, node('add', 'Add', 'x', 'b')])), []);
});

t.test('a training graph is refused with all of them', async (t) => {
  const graph = modelOf([node('det', 'Det', 'x', 'a')]);
  t.throws(() => buildTrainingGraph(graph, { batch: 2, loss: 'mse' }), UnsupportedOperatorError);
  t.throws(() => buildTrainingGraph(graph, { batch: 2, loss: 'mse' }), {
    message: /Det \(det\)/,
  });
});

t.test('every operator with a rule has a definition, so that the rule is proven', async (t) => {
  for (const operator of differentiableOperators()) {
    t.ok(standardOperators.find({ operator, domain: '' }), operator);
  }
});
