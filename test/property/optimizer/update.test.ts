import fc from 'fast-check';
import t from 'tap';
import {
  Optimizer,
  stateNames,
  sumOfSquaresReference,
  updateReference,
  type UpdateRule,
} from '../../../worker/optimizer/index.js';

const fraction = fc.double({ min: 0, max: 0.999, noNaN: true });
const rule: fc.Arbitrary<UpdateRule> = fc.oneof(
  fc.record({
    kind: fc.constant('sgd' as const),
    momentum: fc.oneof(fc.constant(0), fc.double({ min: 0.1, max: 0.99, noNaN: true })),
    nesterov: fc.boolean(),
    weightDecay: fraction,
  }),
  fc.record({
    kind: fc.constant('adam' as const),
    beta1: fraction,
    beta2: fraction,
    eps: fc.constantFrom(1e-8, 1e-4),
    weightDecay: fraction,
    decoupled: fc.boolean(),
  }),
);
const value = fc.double({ min: -4, max: 4, noNaN: true }).map(Math.fround);
const values = (length: number) => fc.array(value, { minLength: length, maxLength: length });
const scenario = fc.nat({ max: 21 }).chain((elements) =>
  fc.record({
    parameters: values(elements),
    gradients: fc.array(values(elements), { minLength: 1, maxLength: 4 }),
    learningRate: fc.double({ min: 1e-5, max: 0.5, noNaN: true }),
    gradientScale: fc.constantFrom(1, 0.37),
    cut: fc.nat({ max: elements }),
  }),
);

void t.test('kernels equal the float32 reference bit for bit, in any split into shards', (t) => {
  fc.assert(
    fc.property(rule, scenario, (rule, { parameters, gradients, learningRate, gradientScale, cut }) => {
      const n = parameters.length;
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
      const at = (slot: number) => 64 + slot * 128; // byte 0 is left alone: a kernel must not touch it
      const range = (slot: number) => new Float32Array(memory.buffer, at(slot), n);
      const names = stateNames(rule);
      const optimizer = new Optimizer(rule, memory);
      range(0).set(parameters);
      const expected = Float32Array.from(parameters);
      const state = names.map(() => new Float32Array(n));
      gradients.forEach((gradient, i) => {
        const scalars = { learningRate, gradientScale, step: i + 1 };
        range(1).set(gradient);
        for (const [start, end] of [
          [0, cut],
          [cut, n],
        ] as const) {
          // prettier-ignore
          optimizer.update(
            {
              elements: end - start,
              parameters: at(0) + 4 * start,
              gradients: at(1) + 4 * start,
              state: names.map((_, k) => at(2 + k) + 4 * start),
            },
            scalars,
          );
        }
        updateReference(rule, expected, Float32Array.from(gradient), state, scalars);
        t.same(range(1), Float32Array.from(gradient), 'gradients are left alone');
      });
      t.same(range(0), expected);
      state.forEach((slot, k) => t.same(range(2 + k), slot));
      t.ok(new Uint8Array(memory.buffer, 0, 64).every((byte) => byte === 0));
      t.equal(optimizer.sumOfSquares(at(0), n), sumOfSquaresReference(expected));
    }),
    { numRuns: 200 },
  );
  t.end();
});

void t.test('float32 stays near float64', (t) => {
  fc.assert(
    fc.property(rule, scenario, (rule, { parameters, gradients, learningRate, gradientScale }) => {
      const n = parameters.length;
      const single = Float32Array.from(parameters);
      const double = Float64Array.from(parameters);
      const states = stateNames(rule).map(() => [new Float32Array(n), new Float64Array(n)] as const);
      gradients.forEach((gradient, i) => {
        const scalars = { learningRate, gradientScale, step: i + 1 };
        updateReference(rule, single, Float32Array.from(gradient), states.map(([s]) => s), scalars); // prettier-ignore
        updateReference(rule, double, Float64Array.from(gradient), states.map(([, d]) => d), scalars); // prettier-ignore
      });
      const worst = Math.max(
        0,
        ...double.map((exact, i) => Math.abs(exact - single[i]!) / (1 + Math.abs(exact))),
      );
      // an Adam step is lr * m / sqrt(v): where both are tiny next to float32's range the quotient is coarse
      t.ok(worst < 2e-4 || double.some((exact) => Math.abs(exact) > 1e4), `relative error ${worst}`);
    }),
    { numRuns: 200 },
  );
  t.end();
});
