import fc from 'fast-check';
import t from 'tap';
import { attributes, constants, dims, operand } from './arbitrary.js';
import { gradientError, type Case } from './check.js';

const reductions = [
  'ReduceSum',
  'ReduceMean',
  'ReduceL1',
  'ReduceL2',
  'ReduceSumSquare',
  'ReduceMax',
  'ReduceMin',
];

for (const operator of reductions) {
  t.test(`${operator} over any axes`, async () => {
    const cases: fc.Arbitrary<Case> = dims(3, 3, 1).chain((shape) => {
      const axes = shape.map((_, axis) => axis);
      return fc
        .record({
          x: operand(shape),
          chosen: fc.option(fc.subarray(axes, { minLength: 1 }), { nil: undefined }),
          negative: fc.boolean(),
          keepdims: fc.constantFrom(0, 1),
        })
        .map(({ x, chosen, negative, keepdims }) => ({
          operator,
          operands: [x, chosen && constants(chosen.map((axis) => (negative ? axis - shape.length : axis)))],
          attributes: attributes({ keepdims }),
        }));
    });
    fc.assert(
      fc.property(cases, (one) => gradientError(one) < 1e-6),
      { numRuns: 20 },
    );
  });
}
