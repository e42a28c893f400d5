import t, { type Test } from 'tap';
import {
  attribute,
  evaluate,
  GraphBuilder,
  standardOperators,
  type Reference,
  type TypedGraph,
} from '../../../graph/index.js';
import { Formula } from '../../../graph/formula/index.js';
import { simplify } from '../../../graph/passes/index.js';

const { int, float } = attribute;

/** A graph of inputs of these shapes, in float64. */
function built(
  shapes: Readonly<Record<string, readonly number[]>>,
  write: (f: Formula) => string,
): TypedGraph {
  const builder = new GraphBuilder(standardOperators);
  for (const [name, shape] of Object.entries(shapes)) builder.input(name, { dtype: 'float64', shape });
  return builder.build('test', [write(new Formula(builder))]);
}

function operators(typed: TypedGraph): string[] {
  return typed.nodes.map(({ operator }) => operator).filter((operator) => operator !== 'Reshape');
}

/** The output for inputs that are all different. */
function output(typed: TypedGraph): number[] {
  const values = new Map<string, Reference>(
    typed.inputs.map((name, k) => {
      const { shape } = typed.types.get(name)!;
      const size = shape.reduce((product, dim) => product * dim, 1);
      const data = Float64Array.from({ length: size }, (_, i) => Math.sin(1.7 * i + k) + 0.3);
      return [name, { dtype: 'float64', shape, data }];
    }),
  );
  return [...evaluate(typed, values).get(typed.outputs[0]!)!.data];
}

function same(t: Test, typed: TypedGraph, expected: readonly string[]): void {
  const simple = simplify(typed);
  t.same(operators(simple), expected);
  const [before, after] = [output(typed), output(simple)];
  t.ok(
    before.every((value, i) => Math.abs(value - after[i]!) < 1e-6),
    'the values stay',
  );
}

const squares: Readonly<Record<string, (f: Formula, x: string) => string>> = {
  'x * x': (f, x) => f.mul(x, x),
  'x ^ 2': (f, x) => f.one('Pow', [x, f.scalar(2, 'float64')]),
};
const divisions: Readonly<Record<string, (f: Formula, x: string, root: string) => string>> = {
  'x / root': (f, x, root) => f.div(x, root),
  'x * (1 / root)': (f, x, root) => f.mul(x, f.div(1, root)),
  'reciprocal(root) * x': (f, x, root) => f.mul(f.unary('Reciprocal', root), x),
};

for (const [square, squared] of Object.entries(squares)) {
  for (const [division, divided] of Object.entries(divisions)) {
    t.test(`RMS normalization with ${square} and ${division} becomes one operator`, async (t) => {
      const rms = built({ x: [2, 3, 4], s: [4] }, (f) => {
        const root = f.sqrt(f.add(f.mean(squared(f, 'x'), [2]), 1e-3));
        return f.mul('s', divided(f, 'x', root));
      });
      same(t, rms, ['RMSNormalization']);
      t.match(simplify(rms).nodes.find(({ operator }) => operator === 'RMSNormalization')!.attributes, {
        axis: { value: 2 },
      });
    });
  }
}

t.test('a mean over an axis that is not the last is no RMS normalization', async (t) => {
  const other = built({ x: [3, 3], s: [3] }, (f) =>
    f.mul(f.div('x', f.sqrt(f.add(f.mean(f.mul('x', 'x'), [0]), 1e-3))), 's'),
  );
  t.notOk(operators(simplify(other)).includes('RMSNormalization'));
  const another = built({ x: [3, 3], z: [3, 3], s: [3] }, (f) =>
    f.mul(f.div('x', f.sqrt(f.add(f.mean(f.mul('z', 'z'), [1]), 1e-3))), 's'),
  );
  t.notOk(operators(simplify(another)).includes('RMSNormalization'));
});

t.test('a layer normalization is not taken for an RMS normalization of what is centred', async (t) => {
  const layer = built({ x: [2, 4], s: [4], b: [4] }, (f) => {
    const centred = f.sub('x', f.mean('x', [1]));
    const root = f.sqrt(f.add(f.mean(f.mul(centred, centred), [1]), 1e-3));
    return f.add(f.mul(f.div(centred, root), 's'), 'b');
  });
  same(t, layer, ['LayerNormalization']);
});

/** What torch.nn.GroupNorm is exported as before opset 18. */
function groupNorm(scale: number, vector: readonly number[]): TypedGraph {
  return built({ x: [2, 4, 3], s: vector, b: vector }, (f) => {
    const [ones, zeros] = [f.filled([2], scale, 'float64'), f.filled([2], 0, 'float64')];
    const instance = f.one('InstanceNormalization', [f.reshape('x', [2, 2, 6]), ones, zeros], {
      epsilon: float(2 ** -10),
    });
    return f.add(f.mul(f.reshape(instance, [2, 4, 3]), 's'), 'b');
  });
}

t.test("PyTorch's group normalization becomes one operator", async (t) => {
  const typed = groupNorm(1, [4, 1]);
  same(t, typed, ['GroupNormalization']);
  t.match(simplify(typed).nodes.find(({ operator }) => operator === 'GroupNormalization')!.attributes, {
    num_groups: int(2),
    epsilon: float(2 ** -10),
  });
});

t.test('what only looks like a group normalization stays', async (t) => {
  same(t, groupNorm(2, [4, 1]), ['InstanceNormalization', 'Mul', 'Add']);
  same(t, groupNorm(1, [3]), ['InstanceNormalization', 'Mul', 'Add']);
});
