import fc from 'fast-check';
import t from 'tap';
import {
  attribute,
  evaluate,
  GraphBuilder,
  sizeOf,
  standardOperators,
  type Reference,
  type TypedGraph,
} from '../../../graph/index.js';
import { Formula } from '../../../graph/formula/index.js';
import { mergeCommonSubexpressions, removeDeadCode, simplify, tidy } from '../../../graph/passes/index.js';

/** One step of a random program: an operator, and which of the values so far it is applied to. */
interface Step {
  readonly kind: number;
  readonly at: number;
  readonly other: number;
  readonly detail: number;
}

const program = fc.array(
  fc.record({
    kind: fc.integer({ min: 0, max: 13 }),
    at: fc.nat(),
    other: fc.nat(),
    detail: fc.nat(),
  }),
  { minLength: 1, maxLength: 14 },
);

/** Writes a random program of the operators that the passes look at, needless ones among them. */
function graphOf(steps: readonly Step[], outputs: readonly number[]): TypedGraph {
  const builder = new GraphBuilder(standardOperators);
  const f = new Formula(builder);
  const dtype = 'float64' as const;
  const values = [
    builder.input('x', { dtype, shape: [2, 3, 4] }),
    builder.input('m', { dtype, shape: [4, 3] }),
    builder.parameter('w', { dtype, shape: [3, 4] }),
    builder.parameter('b', { dtype, shape: [4] }),
  ];
  for (const step of steps) values.push(applied(f, values, step));
  return builder.build(
    'random',
    outputs.map((output) => values[output % values.length]!),
  );
}

function applied(f: Formula, values: readonly string[], { kind, at, other, detail }: Step): string {
  const x = values[at % values.length]!;
  const y = values[other % values.length]!;
  const shape = f.shapeOf(x);
  const rank = shape.length;
  switch (kind) {
    case 0:
      return f.one('Identity', [x]);
    case 1:
      return f.one('Reshape', [x, f.int64s([[-1], [1, -1], [...shape], [...shape].reverse()][detail % 4]!)]);
    case 2: {
      const axes = shape.map((_, i) => (i + detail) % Math.max(rank, 1));
      return f.one('Transpose', [x], { perm: attribute.ints(axes) });
    }
    case 3:
      return f.one('Transpose', [x], {});
    case 4:
      return f.one('Add', [x, f.filled([], detail % 2, 'float64')]);
    case 5:
      return f.one('Mul', [f.filled([1], (detail % 3) + 1, 'float64'), x]);
    case 6:
    case 7:
    case 8: {
      const [left, right] = [f.shapeOf(x), f.shapeOf(y)];
      if (left.length < 2 || right.length !== 2 || left.at(-1) !== right[0]) return f.one('Neg', [x]);
      return f.matmul(x, y);
    }
    case 9: {
      const fits = f.shapeOf(y).every((dim, i) => dim === 1 || dim === shape[i - f.rankOf(y) + rank]);
      return f.rankOf(y) <= rank && fits ? f.one('Add', [x, y]) : f.one('Neg', [x]);
    }
    case 10:
      return f.one('Expand', [x, f.int64s(shape)]);
    case 11:
      return f.one('Unsqueeze', [x, f.int64s([detail % (rank + 1)])]);
    case 12:
      return f.one('Flatten', [x], { axis: attribute.int(detail % (rank + 1)) });
    default:
      return f.tanh(x);
  }
}

const values = new Map<string, Reference>(
  [['x', [2, 3, 4]] as const, ['m', [4, 3]] as const, ['w', [3, 4]] as const, ['b', [4]] as const].map(
    ([name, shape]) => [
      name,
      {
        dtype: 'float64' as const,
        shape,
        data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(i + 1)),
      },
    ],
  ),
);

const passes = { removeDeadCode, mergeCommonSubexpressions, tidy, simplify };
for (const [name, pass] of Object.entries(passes)) {
  t.test(`${name} changes no value`, async () => {
    fc.assert(
      fc.property(program, fc.array(fc.nat(), { minLength: 1, maxLength: 3 }), (steps, outputs) => {
        const before = graphOf(steps, outputs);
        const after = pass(before);
        const [wanted, found] = [evaluate(before, values), evaluate(after, values)];
        return before.outputs.every((output, i) => {
          const [a, b] = [wanted.get(output)!, found.get(after.outputs[i]!)!];
          const sameShape = String(a.shape) === String(b.shape);
          return (
            sameShape &&
            a.data.every((value, at) => Math.abs(value - b.data[at]!) <= 1e-9 * Math.max(1, Math.abs(value)))
          );
        });
      }),
      { numRuns: 150 },
    );
  });
}
