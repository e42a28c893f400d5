import fc from 'fast-check';
import t from 'tap';
import { attributes, operand } from './arbitrary.js';
import { gradientError, type Case } from './check.js';

function holds(cases: fc.Arbitrary<Case>, numRuns = 25): void {
  fc.assert(
    fc.property(cases, (one) => gradientError(one) < 1e-6),
    { numRuns },
  );
}

/** A window over `rank` axes that fits within the padded input, and an input for it. */
const windows = (maxRank: number, dilated: boolean) =>
  fc.integer({ min: 1, max: maxRank }).chain((rank) => {
    const axis = fc
      .record({
        kernel: fc.integer({ min: 1, max: 3 }),
        stride: fc.integer({ min: 1, max: 3 }),
        dilation: fc.integer({ min: 1, max: dilated ? 2 : 1 }),
        extra: fc.integer({ min: 0, max: rank === 3 ? 1 : 3 }),
      })
      .chain((one) =>
        fc
          .record({
            // with dilation a window could lie in the padding alone, where a maximum has no meaning
            begin: fc.integer({ min: 0, max: one.dilation === 1 ? one.kernel - 1 : 0 }),
            end: fc.integer({ min: 0, max: one.dilation === 1 ? one.kernel - 1 : 0 }),
          })
          .map((pads) => {
            const reach = (one.kernel - 1) * one.dilation + 1;
            return { ...one, ...pads, input: Math.max(1, reach + one.extra - pads.begin - pads.end) };
          }),
      );
    return fc.array(axis, { minLength: rank, maxLength: rank }).map((axes) => ({
      kernel: axes.map((one) => one.kernel),
      strides: axes.map((one) => one.stride),
      dilations: axes.map((one) => one.dilation),
      pads: [...axes.map((one) => one.begin), ...axes.map((one) => one.end)],
      input: axes.map((one) => one.input),
    }));
  });

t.test('Conv in one to three dimensions with groups, strides, dilations and pads', async () => {
  holds(
    fc
      .record({
        window: windows(3, true),
        groups: fc.constantFrom(1, 2),
        inputs: fc.integer({ min: 1, max: 2 }),
        outputs: fc.integer({ min: 1, max: 2 }),
        batch: fc.integer({ min: 1, max: 2 }),
        bias: fc.boolean(),
      })
      .chain(({ window, groups, inputs, outputs, batch, bias }) =>
        fc
          .tuple(
            operand([batch, groups * inputs, ...window.input]),
            operand([groups * outputs, inputs, ...window.kernel]),
            operand([groups * outputs]),
          )
          .map(([x, w, b]) => ({
            operator: 'Conv',
            operands: bias ? [x, w, b] : [x, w],
            attributes: attributes({
              kernel_shape: window.kernel,
              strides: window.strides,
              dilations: window.dilations,
              pads: window.pads,
              group: groups,
            }),
          })),
      ),
    40,
  );
});

t.test('ConvTranspose with groups, strides, dilations, pads and output padding', async () => {
  const axis = fc
    .record({
      kernel: fc.integer({ min: 1, max: 3 }),
      stride: fc.integer({ min: 1, max: 3 }),
      dilation: fc.integer({ min: 1, max: 2 }),
      input: fc.integer({ min: 1, max: 3 }),
    })
    .chain((one) => {
      const room = (one.input - 1) * one.stride + (one.kernel - 1) * one.dilation;
      return fc
        .record({
          begin: fc.integer({ min: 0, max: Math.min(1, room) }),
          extra: fc.integer({ min: 0, max: one.stride - 1 }),
        })
        .map((more) => ({ ...one, ...more }));
    });
  holds(
    fc
      .record({
        axes: fc.array(axis, { minLength: 1, maxLength: 2 }),
        groups: fc.constantFrom(1, 2),
        bias: fc.boolean(),
      })
      .chain(({ axes, groups, bias }) =>
        fc
          .tuple(
            operand([2, groups, ...axes.map((one) => one.input)]),
            operand([groups, 2, ...axes.map((one) => one.kernel)]),
            operand([2 * groups]),
          )
          .map(([x, w, b]) => ({
            operator: 'ConvTranspose',
            operands: bias ? [x, w, b] : [x, w],
            attributes: attributes({
              kernel_shape: axes.map((one) => one.kernel),
              strides: axes.map((one) => one.stride),
              dilations: axes.map((one) => one.dilation),
              pads: [...axes.map((one) => one.begin), ...axes.map(() => 0)],
              output_padding: axes.map((one) => one.extra),
              group: groups,
            }),
          })),
      ),
    30,
  );
});

for (const mode of ['SAME_UPPER', 'SAME_LOWER', 'VALID']) {
  t.test(`Conv with automatic padding ${mode}`, async () => {
    holds(
      fc
        .record({ stride: fc.integer({ min: 1, max: 3 }), size: fc.integer({ min: 3, max: 6 }) })
        .chain(({ stride, size }) =>
          fc.tuple(operand([1, 1, size]), operand([2, 1, 3])).map((operands) => ({
            operator: 'Conv',
            operands,
            attributes: attributes({ auto_pad: mode, kernel_shape: [3], strides: [stride] }),
          })),
        ),
      8,
    );
  });
}

for (const operator of ['MaxPool', 'AveragePool']) {
  t.test(`${operator} with strides, pads, dilations and the ceiling mode`, async () => {
    holds(
      fc
        .record({
          window: windows(2, operator === 'MaxPool'),
          ceil: fc.constantFrom(0, 1),
          includePad: fc.constantFrom(0, 1),
        })
        .chain(({ window, ceil, includePad }) =>
          operand([1, 2, ...window.input]).map((x) => ({
            operator,
            operands: [x],
            attributes: attributes({
              kernel_shape: window.kernel,
              strides: window.strides,
              pads: window.pads,
              ceil_mode: ceil,
              dilations: operator === 'MaxPool' ? window.dilations : undefined,
              count_include_pad: operator === 'AveragePool' ? includePad : undefined,
            }),
          })),
        ),
      40,
    );
  });
}

for (const operator of ['GlobalAveragePool', 'GlobalMaxPool']) {
  t.test(operator, async () => {
    holds(
      operand([2, 2, 3, 2]).map((x) => ({ operator, operands: [x] })),
      6,
    );
  });
}
