import t from 'tap';
import { Random } from '../../../base/index.js';
import {
  attribute,
  bindGraph,
  evaluate,
  readModel,
  setBatchNormalization,
  sizeOf,
  tensorOf,
  toReference,
  unitsOf,
  type Attributes,
  type Graph,
  type Node,
  type Reference,
  type TypedGraph,
} from '../../../graph/index.js';
import { sampleAxis, undividedValues } from '../../../graph/pipeline/index.js';
import { setDropout } from '../../../graph/training/index.js';
import { recurrentLoop } from '../../unit/graph/bodies.js';
import { fill, fixtures, load } from './fixtures.js';

const SAMPLES = 3;

/** All values of a graph. */
function everything(
  graph: TypedGraph,
  given: ReadonlyMap<string, Reference>,
): ReadonlyMap<string, Reference> {
  const outputs = graph.nodes.flatMap((node) => node.outputs.filter((output) => output !== ''));
  return evaluate({ ...graph, outputs }, given);
}

/** A range of an axis. */
function range({ dtype, shape, data }: Reference, axis: number, from: number, to: number): Reference {
  const inner = sizeOf(shape.slice(axis + 1));
  const rows = shape[axis]!;
  const kept = data.filter((_, i) => {
    const row = Math.floor(i / inner) % rows;
    return row >= from && row < to;
  });
  return { dtype, shape: shape.map((dim, i) => (i === axis ? to - from : dim)), data: kept };
}

/** Values of which the range of a sample is not what that sample alone gives, though they are said to be divisible. */
function wrong(
  model: Graph,
  bind: (samples: number) => TypedGraph,
): { wrong: string[]; undivided: string[] } {
  const [all, one] = [bind(SAMPLES), bind(1)];
  const undivided = undividedValues({ graph: all, samples: SAMPLES }, { graph: bind(5), samples: 5 });
  const random = new Random(3);
  const parameters = [...model.parameters].map(([name, tensor]) => [name, toReference(tensor)] as const);
  const inputs = all.inputs.map((name) => [name, fill(all.types.get(name)!, random)] as const);
  const together = everything(all, new Map([...parameters, ...inputs]));
  const problems = new Set<string>();
  for (let sample = 0; sample < SAMPLES; sample++) {
    const own = inputs.map(([name, value]) => [name, range(value, 0, sample, sample + 1)] as const);
    const alone = everything(one, new Map([...parameters, ...own]));
    for (const [value, whole] of together) {
      const single = alone.get(value);
      if (undivided.has(value) || !single) continue;
      const axis = sampleAxis(value, whole, SAMPLES, single, 1);
      const mine = axis ? range(whole, axis.axis, sample * axis.rows, (sample + 1) * axis.rows) : whole;
      if (mine.data.some((x, i) => !(Math.abs(x - single.data[i]!) <= 1e-9 * (1 + Math.abs(x)))))
        problems.add(value);
    }
  }
  return { wrong: [...problems], undivided: [...undivided] };
}

for (const name of fixtures.filter((each) => each !== 'lstm')) {
  t.test(`${name}: samples lie where they are said to`, async (t) => {
    const graph = setBatchNormalization(setDropout(load(name).graph, false), 'freeze');
    const found = wrong(graph, (batch) => bindGraph(graph, { batch }));
    t.strictSame(found, { wrong: [], undivided: [] });
  });
}

t.test('a loop over time', async (t) => {
  const { graph } = readModel(recurrentLoop());
  t.strictSame(
    wrong(graph, (samples) => bindGraph(graph, { shapes: { x: [samples, 3, 4] } })),
    {
      wrong: [],
      undivided: [],
    },
  );
});

const node = (operator: string, inputs: string, output: string, attributes: Attributes = {}): Node => ({
  name: output,
  operator,
  domain: '',
  inputs: inputs.split(' '),
  outputs: [output],
  attributes,
});
const perm = (...axes: number[]): Attributes => ({ perm: attribute.ints(axes) });

/** Inputs [N, 2, 4], a parameter [4, 4]. */
const modelOf = (nodes: readonly Node[]): Graph => ({
  name: 'rows',
  inputs: [{ name: 'x', dtype: 'float32', shape: ['N', 2, 4] }],
  outputs: [{ name: 'y', dtype: 'float32', shape: ['N', 2, 4] }],
  nodes,
  parameters: new Map([
    [
      'w',
      tensorOf(
        'float32',
        [4, 4],
        Array.from({ length: 16 }, (_, i) => Math.cos(i)),
      ),
    ],
  ]),
  constants: new Map([
    ['rows', tensorOf('int64', [2], [-1, 4])],
    ['times', tensorOf('int64', [3], [2, -1, 4])],
    ['samples', tensorOf('int64', [3], [-1, 2, 4])],
  ]),
});

t.test('rows by time and then by sample are not divided, and no unit ends among them', async (t) => {
  const graph = modelOf([
    node('Transpose', 'x', 'timed', perm(1, 0, 2)),
    node('Reshape', 'timed rows', 'flat'),
    node('MatMul', 'flat w', 'product'),
    node('Relu', 'product', 'bent'),
    node('MatMul', 'bent w', 'again'),
    node('Reshape', 'again times', 'parted'),
    node('Transpose', 'parted', 'back', perm(1, 0, 2)),
    node('Tanh', 'back', 'y'),
  ]);
  const { undivided, ...found } = wrong(graph, (batch) => bindGraph(graph, { batch }));
  t.strictSame(found.wrong, []);
  t.strictSame(undivided, ['flat', 'product', 'bent', 'again']);
  const units = unitsOf(graph, { batch: 2, loss: 'mse' });
  const unit = units.find((names) => names.includes('flat'))!;
  for (const name of ['product', 'bent', 'again', 'parted']) t.ok(unit.includes(name), name);
});

t.test('rows by sample and then by time are', async (t) => {
  const graph = modelOf([
    node('Reshape', 'x rows', 'flat'),
    node('MatMul', 'flat w', 'product'),
    node('Reshape', 'product samples', 'y'),
  ]);
  t.strictSame(
    wrong(graph, (batch) => bindGraph(graph, { batch })),
    { wrong: [], undivided: [] },
  );
});

t.test('samples below samples are not', async (t) => {
  const graph = modelOf([
    node('Relu', 'x', 'a'),
    node('Concat', 'x a', 'both', { axis: attribute.int(0) }),
    node('MatMul', 'both w', 'product'),
    node('Concat', 'x a', 'beside', { axis: attribute.int(1) }),
    node('Reshape', 'beside rows', 'together'),
    node('Reshape', 'product rows', 'apart'),
    node('Add', 'together apart', 'mixed'),
    node('Reshape', 'mixed samples', 'y'),
  ]);
  const { undivided, wrong: problems } = wrong(graph, (batch) => bindGraph(graph, { batch }));
  t.strictSame(problems, []);
  t.strictSame(undivided, ['both', 'product', 'apart', 'mixed', 'y']);
});
