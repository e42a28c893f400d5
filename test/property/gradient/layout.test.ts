import fc from 'fast-check';
import t from 'tap';
import { attributes, constants, dims, operand, permutation } from './arbitrary.js';
import { gradientError, type Case } from './check.js';

function holds(cases: fc.Arbitrary<Case>, numRuns = 20): void {
  fc.assert(
    fc.property(cases, (one) => gradientError(one) < 1e-6),
    { numRuns },
  );
}

const bounded = (shape: readonly number[]) => operand(shape);

t.test('Reshape, Flatten, Squeeze, Unsqueeze', async () => {
  holds(
    bounded([2, 1, 3]).chain((x) =>
      fc.constantFrom<Case>(
        { operator: 'Reshape', operands: [x, constants([3, -1])] },
        { operator: 'Flatten', operands: [x], attributes: attributes({ axis: 1 }) },
        { operator: 'Squeeze', operands: [x, constants([1])] },
        { operator: 'Squeeze', operands: [x] },
        { operator: 'Unsqueeze', operands: [x, constants([0, -1])] },
      ),
    ),
  );
});

t.test('Transpose by any permutation', async () => {
  holds(
    dims(4, 3, 1).chain((shape) =>
      fc
        .tuple(operand(shape), fc.option(permutation(shape.length), { nil: undefined }))
        .map(([x, perm]) => ({ operator: 'Transpose', operands: [x], attributes: attributes({ perm }) })),
    ),
  );
});

t.test('Expand and Tile', async () => {
  holds(
    bounded([2, 1]).chain((x) =>
      fc
        .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 }))
        .chain(([a, b]) =>
          fc.constantFrom<Case>(
            { operator: 'Expand', operands: [x, constants([a, 1, b])] },
            { operator: 'Tile', operands: [x, constants([a, b])] },
          ),
        ),
    ),
  );
});

t.test('Concat and Split along any axis', async () => {
  holds(
    fc
      .record({
        axis: fc.constantFrom(0, 1, -1),
        sizes: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 }),
      })
      .chain(({ axis, sizes }) => {
        const shape = (size: number) => (axis === 0 ? [size, 2] : [2, size]);
        const total = sizes.reduce((sum, part) => sum + part, 0);
        return fc
          .tuple(operand(shape(total)), ...sizes.map((part) => operand(shape(part))))
          .chain(([whole, ...parts]) =>
            fc.constantFrom<Case>(
              { operator: 'Concat', operands: parts, attributes: attributes({ axis }) },
              {
                operator: 'Split',
                operands: [whole, constants(sizes)],
                attributes: attributes({ axis }),
                outputs: sizes.length,
              },
            ),
          );
      }),
  );
});

t.test('Slice with any start, end and step, negative ones too', async () => {
  const cut = fc.record({
    start: fc.integer({ min: -7, max: 7 }),
    end: fc.integer({ min: -7, max: 7 }),
    step: fc.constantFrom(1, 2, 3, -1, -2),
  });
  holds(
    fc
      .tuple(operand([5, 4]), cut, cut)
      .filter(([, a, b]) => length(5, a) > 0 && length(4, b) > 0)
      .map(([x, a, b]) => ({
        operator: 'Slice',
        operands: [
          x,
          constants([b.start, a.start]),
          constants([b.end, a.end]),
          constants([-1, 0]),
          constants([b.step, a.step]),
        ],
      })),
    60,
  );
});

/** The number of elements that a slice takes of an axis. */
function length(dim: number, { start, end, step }: { start: number; end: number; step: number }): number {
  const within = (at: number, low: number, high: number) =>
    Math.min(Math.max(at < 0 ? at + dim : at, low), high);
  const first = step > 0 ? within(start, 0, dim) : within(start, 0, dim - 1);
  const last = step > 0 ? within(end, 0, dim) : within(end, -1, dim - 1);
  return Math.ceil((last - first) / step);
}

t.test('Pad in each mode, cropping too', async () => {
  const amount = fc.integer({ min: 0, max: 2 });
  holds(
    fc
      .record({
        x: operand([3, 4]),
        pads: fc.tuple(amount, amount, amount, amount),
        crop: fc.boolean(),
        mode: fc.constantFrom('constant', 'reflect', 'edge'),
      })
      .map(({ x, pads, crop, mode }) => ({
        operator: 'Pad',
        operands: [x, constants(crop && mode === 'constant' ? pads.map((pad) => 1 - pad) : pads)],
        attributes: attributes({ mode }),
      })),
    40,
  );
});

t.test('Trilu, either triangle, any diagonal', async () => {
  holds(
    fc
      .record({ x: operand([2, 3, 4]), upper: fc.constantFrom(0, 1), k: fc.integer({ min: -2, max: 2 }) })
      .map(({ x, upper, k }) => ({
        operator: 'Trilu',
        operands: [x, constants([k], [])],
        attributes: attributes({ upper }),
      })),
  );
});

t.test('Gather along any axis, with repeated and negative indices, small tables and large', async () => {
  holds(
    fc
      .record({
        axis: fc.constantFrom(0, 1, -1),
        large: fc.boolean(),
        shape: dims(2, 3),
        constant: fc.boolean(),
      })
      .chain(({ axis, large, shape, constant }) => {
        const rows = large ? 300 : 4;
        const table = axis === 0 ? [rows, 2] : [2, rows];
        const count = shape.reduce((product, dim) => product * dim, 1);
        const index = fc.array(fc.integer({ min: -rows, max: rows - 1 }), {
          minLength: count,
          maxLength: count,
        });
        return fc.tuple(operand(table), index).map(([x, values]) => ({
          operator: 'Gather',
          operands: [x, { shape, values, dtype: 'int64' as const, constant }],
          attributes: attributes({ axis }),
        }));
      }),
    12,
  );
});

t.test('Gather of a constant range is a cut', async () => {
  holds(
    operand([5, 2]).chain((x) =>
      fc.constantFrom<Case>(
        { operator: 'Gather', operands: [x, constants([1, 2, 3])] },
        { operator: 'Gather', operands: [x, constants([-1], [])] },
        { operator: 'Gather', operands: [x, constants([0], [])], attributes: attributes({ axis: 1 }) },
      ),
    ),
  );
});

t.test('GatherElements and GatherND', async () => {
  const row = fc.integer({ min: -3, max: 2 });
  holds(
    fc
      .record({ x: operand([3, 2]), rows: fc.array(row, { minLength: 4, maxLength: 4 }), flip: fc.boolean() })
      .map(({ x, rows, flip }) =>
        flip
          ? {
              operator: 'GatherElements',
              operands: [x, { shape: [2, 2], values: rows, dtype: 'int64' as const }],
              attributes: attributes({ axis: 0 }),
            }
          : { operator: 'GatherND', operands: [x, { shape: [4, 1], values: rows, dtype: 'int64' as const }] },
      ),
  );
  const pair = fc.tuple(row, fc.integer({ min: -2, max: 1 }));
  holds(
    fc.tuple(operand([3, 2, 2]), fc.array(pair, { minLength: 5, maxLength: 5 })).map(([x, pairs]) => ({
      operator: 'GatherND',
      operands: [x, { shape: [5, 2], values: pairs.flat(), dtype: 'int64' as const }],
    })),
  );
});
