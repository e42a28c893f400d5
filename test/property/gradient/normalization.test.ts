import fc from 'fast-check';
import t from 'tap';
import { attributes, dims, operand } from './arbitrary.js';
import { gradientError, type Case } from './check.js';

function holds(cases: fc.Arbitrary<Case>): void {
  fc.assert(
    fc.property(cases, (one) => gradientError(one, 1e-5) < 1e-5),
    { numRuns: 15 },
  );
}

t.test('LayerNormalization from any axis, with and without bias and saved statistics', async () => {
  holds(
    dims(3, 3, 1).chain((shape) =>
      fc.integer({ min: 0, max: shape.length - 1 }).chain((axis) => {
        const tail = shape.slice(axis);
        return fc
          .record({
            x: operand(shape),
            scale: operand(tail),
            bias: fc.option(operand(tail), { nil: undefined }),
          })
          .map(({ x, scale, bias }) => ({
            operator: 'LayerNormalization',
            operands: bias ? [x, scale, bias] : [x, scale],
            attributes: attributes({ axis, epsilon: { float: 0.01 } }),
          }));
      }),
    ),
  );
});

for (const training of [0, 1]) {
  t.test(`BatchNormalization ${training ? 'of the batch' : 'with frozen statistics'}`, async () => {
    holds(
      fc.constantFrom([3, 2], [2, 3, 2], [2, 2, 2, 2]).chain((shape) => {
        const channels = [shape[1]];
        return fc
          .record({ x: operand(shape), scale: operand(channels), bias: operand(channels) })
          .map(({ x, scale, bias }) => ({
            operator: 'BatchNormalization',
            operands: [x, scale, bias, statistics(channels, 0.1), statistics(channels, 1.5)],
            attributes: attributes({ training_mode: training, epsilon: { float: 0.01 } }),
            outputs: 1,
          }));
      }),
    );
  });
}

const statistics = (shape: readonly number[], value: number) => ({
  shape,
  values: shape.flatMap((size) => new Array<number>(size).fill(value)),
  dtype: 'float64' as const,
  constant: true,
});
