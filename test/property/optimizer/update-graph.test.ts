import fc from 'fast-check';
import t from 'tap';
import { evaluate, sizeOf, type Reference, type TypedGraph } from '../../../graph/index.js';
import {
  scalarsOf,
  squaresGraph,
  stateNames,
  sumGraph,
  updateGraph,
  updateReference,
  type UpdateRule,
} from '../../../worker/optimizer/index.js';

const fraction = fc.oneof(fc.constant(0), fc.double({ min: 0.01, max: 0.99, noNaN: true }));
const shape = fc.oneof(
  fc.constant<number[]>([]),
  fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }),
);
/** Rules of a job's groups: they differ in their decay alone. */
const rules: fc.Arbitrary<readonly UpdateRule[]> = fc
  .tuple(
    fc.oneof(
      fc.record({ kind: fc.constant('sgd' as const), momentum: fraction, nesterov: fc.boolean() }),
      fc.record({
        kind: fc.constant('adam' as const),
        beta1: fraction,
        beta2: fraction,
        eps: fc.constantFrom(1e-8, 1e-4),
        decoupled: fc.boolean(),
      }),
    ),
    fc.array(fraction, { minLength: 2, maxLength: 2 }),
  )
  .map(([rule, decays]) => decays.map((weightDecay): UpdateRule => ({ ...rule, weightDecay })));
const steps = fc.array(
  fc.record({
    learningRate: fc.double({ min: 1e-4, max: 0.5, noNaN: true }),
    gradientScale: fc.constantFrom(1, 0.37),
  }),
  { minLength: 1, maxLength: 3 },
);

const reference = (shape: readonly number[], data: Float64Array): Reference => ({
  dtype: 'float32',
  shape,
  data,
});
/** Numbers between -2 and 2 that look random. */
const noise = (count: number, seed: number) =>
  Float64Array.from({ length: count }, (_, i) => 2 * Math.sin(12.9898 * (i + 1) * (seed + 1)));

t.test(
  'an update written as a graph is the reference in exact arithmetic, whatever the rule and the shapes',
  (t) => {
    const shapes = fc.array(fc.record({ shape, group: fc.nat({ max: 1 }) }), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(rules, shapes, steps, (rules, parameters, steps) => {
        const { graph, values, scalars } = updateGraph(
          rules,
          parameters.map(({ shape, group }) => ({ type: { dtype: 'float32', shape }, group })),
        );
        const own = parameters.map(({ shape }, i) => noise(sizeOf(shape), i));
        const expected = own.map((each) => each.slice());
        const states = () =>
          parameters.map(({ shape, group }) =>
            stateNames(rules[group]!).map(() => new Float64Array(sizeOf(shape))),
          );
        const [ownStates, expectedStates] = [states(), states()];
        steps.forEach(({ learningRate, gradientScale }, step) => {
          const gradients = parameters.map(({ shape }, i) => noise(sizeOf(shape), 7 * step + i));
          const at = { learningRate, gradientScale, step: step + 1 };
          const inputs = graph.inputs.map((name): [string, Reference] => {
            const scalar = scalars.get(name);
            if (scalar) {
              const value = scalarsOf(rules[scalar.group]!, at)[scalar.index]!;
              return [name, reference([], Float64Array.of(value))];
            }
            const { parameter, what } = values.get(name)!;
            const { shape } = parameters[parameter]!;
            if (what === 'parameter') return [name, reference(shape, own[parameter]!)];
            if (what === 'gradient') return [name, reference(shape, gradients[parameter]!)];
            return [name, reference(shape, ownStates[parameter]![what.state]!)];
          });
          for (const [name, { data }] of evaluate(graph, new Map(inputs))) {
            const { parameter, what } = values.get(name)!;
            const written = Float64Array.from(data as ArrayLike<number>);
            if (what === 'parameter') own[parameter] = written;
            else ownStates[parameter]![(what as { state: number }).state] = written;
          }
          parameters.forEach(({ group }, i) =>
            updateReference(rules[group]!, expected[i]!, gradients[i]!, expectedStates[i]!, at),
          );
        });
        const close = (a: Float64Array, b: Float64Array) =>
          a.every((value, i) => Math.abs(value - b[i]!) <= 1e-5 * (1 + Math.abs(b[i]!)));
        return (
          own.every((values, i) => close(values, expected[i]!)) &&
          ownStates.every((each, i) => each.every((values, k) => close(values, expectedStates[i]![k]!)))
        );
      }),
      { numRuns: 150 },
    );
    t.end();
  },
);

/** A graph's only output, of values named as its inputs. */
function run(graph: TypedGraph, values: ReadonlyMap<string, Reference>): readonly Reference[] {
  const results = evaluate(graph, values);
  return graph.outputs.map((name) => results.get(name)!);
}

t.test('sums of squares and sums of gradients, whatever the shapes', (t) => {
  const cases: readonly (readonly number[][])[] = [
    [[]],
    [[1]],
    [[7], [3, 2], []],
    [[1024]],
    [[1025], [2, 2, 2]],
    [[1031]], // a prime: one row
    [[64, 65], [3]],
    [[2, 3, 4, 5], [4100], [1], [5]],
  ];
  for (const shapes of cases) {
    const gradients = shapes.map((shape, i) => reference(shape, noise(sizeOf(shape), i)));
    const types = gradients.map(({ shape }) => ({ dtype: 'float32' as const, shape }));
    const expected = gradients.reduce((sum, { data }) => data.reduce((all, x) => all + x * x, sum), 0);
    const [squares] = run(squaresGraph(types), new Map(gradients.map((each, i) => [String(i), each])));
    t.same(squares!.shape, []);
    t.ok(Math.abs(Number(squares!.data[0]) - expected) < 1e-9 * expected, JSON.stringify(shapes));
    const sums = run(
      sumGraph(types),
      new Map(gradients.flatMap((each, i) => [[`sum ${i}`, each] as const, [`more ${i}`, each] as const])),
    );
    sums.forEach(({ data }, i) =>
      t.same(
        [...data],
        [...gradients[i]!.data].map((x) => 2 * x),
      ),
    );
  }
  t.end();
});
