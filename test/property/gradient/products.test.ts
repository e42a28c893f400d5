import fc from 'fast-check';
import t from 'tap';
import { attributes, broadcastable, dims, operand } from './arbitrary.js';
import { gradientError, type Case } from './check.js';

function holds(cases: fc.Arbitrary<Case>, numRuns = 20): void {
  fc.assert(
    fc.property(cases, (one) => gradientError(one) < 1e-6),
    { numRuns },
  );
}

const size = fc.integer({ min: 1, max: 3 });

t.test('MatMul in every form: vectors, matrices, broadcast batches', async () => {
  const shapes = fc
    .record({ m: size, k: size, n: size, batch: dims(2), vectors: fc.integer({ min: 0, max: 3 }) })
    .chain(({ m, k, n, batch, vectors }) =>
      fc.tuple(broadcastable(batch), broadcastable(batch)).map(([left, right]) => ({
        a: (vectors & 1) === 1 ? [k] : [...left, m, k],
        b: (vectors & 2) === 2 ? [k] : [...right, k, n],
      })),
    );
  holds(
    shapes.chain(({ a, b }) =>
      fc.tuple(operand(a), operand(b)).map((operands) => ({ operator: 'MatMul', operands })),
    ),
    40,
  );
});

t.test('Gemm with any flags, scales and bias', async () => {
  const flag = fc.constantFrom(0, 1);
  holds(
    fc
      .record({ m: size, k: size, n: size, transA: flag, transB: flag, bias: fc.integer({ min: 0, max: 3 }) })
      .chain(({ m, k, n, transA, transB, bias }) => {
        const shapes = [undefined, [n], [m, 1], []][bias];
        return fc
          .tuple(
            operand(transA ? [k, m] : [m, k]),
            operand(transB ? [n, k] : [k, n]),
            shapes ? operand(shapes) : fc.constant(undefined),
          )
          .map(([a, b, c]) => ({
            operator: 'Gemm',
            operands: c ? [a, b, c] : [a, b],
            attributes: attributes({ transA, transB, alpha: { float: 0.5 }, beta: { float: 2 } }),
          }));
      }),
    30,
  );
});
