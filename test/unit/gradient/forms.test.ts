import t from 'tap';
import { Formula } from '../../../graph/formula/index.js';
import { differentiate } from '../../../graph/gradient/index.js';
import {
  attribute,
  evaluate,
  GraphBuilder,
  int64s,
  ShapeError,
  standardOperators,
  type Attributes,
} from '../../../graph/index.js';

/** The gradient of the sum of a node's named outputs with respect to its first input, a ramp of `shape`. */
function slopes(
  operator: string,
  shape: readonly number[],
  attributes: Attributes,
  outputs: readonly string[],
): number[] {
  const builder = new GraphBuilder(standardOperators);
  const f = new Formula(builder);
  const type = { dtype: 'float64', shape } as const;
  builder.input('x', type);
  builder.add(operator, ['x'], attributes, { outputs });
  const seeds = new Map(
    outputs.filter(Boolean).map((name, i) => [name, f.filled(f.shapeOf(name), i + 1, 'float64')]),
  );
  const nodes = [...builder.build('forward', []).nodes];
  const gradient = differentiate(builder, nodes, seeds, ['x']).get('x')!;
  const size = shape.reduce((a, b) => a * b, 1);
  const x = { ...type, data: Float64Array.from({ length: size }, (_, i) => i) };
  return [...evaluate(builder.build('all', [gradient]), new Map([['x', x]])).get(gradient)!.data];
}

t.test('a Split of which an output has no name', async (t) => {
  t.strictSame(slopes('Split', [5], { num_outputs: attribute.int(3) }, ['a', '', 'c']), [1, 1, 0, 0, 2]);
});

t.test('a Transpose whose axes count from the end', async (t) => {
  const attributes = { perm: attribute.ints([-1, 0, -2]) };
  t.strictSame(slopes('Transpose', [2, 3, 1], attributes, ['y']), [1, 1, 1, 1, 1, 1]);
});

t.test('a constant index outside its axis is refused where the shape is inferred', async (t) => {
  const builder = new GraphBuilder(standardOperators);
  builder.input('x', { dtype: 'float32', shape: [2, 3] });
  const index = builder.constant(int64s([3]));
  t.throws(() => builder.one('Gather', ['x', index], { axis: attribute.int(1) }), ShapeError);
});
