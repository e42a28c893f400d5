import fc from 'fast-check';
import t from 'tap';
import { Formula } from '../../../graph/formula/index.js';
import { convolutionForms } from '../../../graph/gradient/index.js';
import {
  attribute,
  evaluate,
  GraphBuilder,
  sizeOf,
  standardOperators,
  type Reference,
} from '../../../graph/index.js';

const value = (shape: readonly number[], phase: number): Reference => ({
  dtype: 'float64',
  shape,
  data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(1.7 * i + phase)),
});

const convolutions = fc.record({
  batch: fc.integer({ min: 1, max: 3 }),
  groups: fc.integer({ min: 1, max: 3 }),
  inputs: fc.integer({ min: 1, max: 3 }),
  outputs: fc.integer({ min: 1, max: 3 }),
  kernel: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 }),
  stride: fc.integer({ min: 1, max: 2 }),
  dilation: fc.integer({ min: 1, max: 2 }),
  pad: fc.integer({ min: 0, max: 2 }),
});

t.test('every form of a convolution’s gradients gives the same', async (t) => {
  const tried = new Set<string>();
  fc.assert(
    fc.property(convolutions, ({ batch, groups, inputs, outputs, kernel, stride, dilation, pad }) => {
      const space = kernel.map((size, i) => 5 + i + (size - 1) * dilation);
      const out = space.map((length, i) =>
        Math.floor((length + 2 * pad - (kernel[i]! - 1) * dilation - 1) / stride + 1),
      );
      const attributes = {
        kernel_shape: attribute.ints(kernel),
        strides: attribute.ints(kernel.map(() => stride)),
        dilations: attribute.ints(kernel.map(() => dilation)),
        pads: attribute.ints([...kernel, ...kernel].map(() => pad)),
        group: attribute.int(groups),
      };
      const values = new Map([
        ['x', value([batch, groups * inputs, ...space], 0)],
        ['w', value([groups * outputs, inputs, ...kernel], 1)],
        ['dy', value([batch, groups * outputs, ...out], 2)],
      ]);
      const shapeOf = (name: string) => values.get(name)!.shape;
      const found = new Map<string, Float64Array>();
      for (const { gradient, name, write } of convolutionForms(attributes, shapeOf('x'), shapeOf('w'), out)) {
        const builder = new GraphBuilder(standardOperators);
        for (const [input, type] of values) builder.input(input, type);
        const result = write(new Formula(builder), 'x', 'w', 'dy');
        const { data } = evaluate(builder.build('form', [result]), values).get(result)!;
        const other = found.get(gradient) ?? data;
        found.set(gradient, other);
        tried.add(name);
        if (data.length !== other.length || data.some((number, i) => Math.abs(number - other[i]!) > 1e-9)) {
          throw new Error(`${gradient}: ${name} differs`);
        }
      }
    }),
    { numRuns: 40 },
  );
  t.strictSame([...tried].sort(), ['convolution', 'depthwise', 'overBatch', 'perSample', 'transposed']);
});
