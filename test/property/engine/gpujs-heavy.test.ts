import fc from 'fast-check';
import t from 'tap';
import { attribute, type Attributes } from '../../../graph/index.js';
import { Library } from '../../../worker/engine/gpujs/library.js';
import { convolutionKernels } from '../../../worker/engine/gpujs/kernels/convolution.js';
import { normalizationKernels } from '../../../worker/engine/gpujs/kernels/normalization.js';
import { poolingKernels } from '../../../worker/engine/gpujs/kernels/pooling.js';
import { productKernelRules } from '../../../worker/engine/gpujs/kernels/product.js';
import { softmaxKernels } from '../../../worker/engine/gpujs/kernels/softmax.js';
import { transposedConvolutionKernels } from '../../../worker/engine/gpujs/kernels/transposed-convolution.js';
import { useSwiftShader } from '../../swiftshader.js';
import { runsOf } from '../trial-runs.js';
import { compare, floats, worst } from './kernels.js';

/** Sums of up to some hundred terms of at most 1: float32 rounds each to 6e-8 of a partial sum. */
const TOLERANCE = 5e-6;

t.setTimeout(120_000);

const transpose = fc.nat({ max: 1 });
const length = fc.constantFrom(1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 20, 33);
const batches = fc.constantFrom<readonly [readonly number[], readonly number[]]>(
  [[], []],
  [[3], [3]],
  [[3], []],
  [[], [2]],
  [
    [2, 3],
    [2, 3],
  ],
  [
    [2, 1],
    [2, 3],
  ],
  [
    [2, 3],
    [1, 3],
  ],
  [
    [2, 3],
    [2, 1],
  ],
  [[3], [2, 1]],
  [
    [2, 1, 2],
    [1, 3, 1],
  ],
);

const axis = fc.record({
  length: fc.integer({ min: 1, max: 9 }),
  kernel: fc.integer({ min: 1, max: 4 }),
  stride: fc.integer({ min: 1, max: 3 }),
  dilation: fc.integer({ min: 1, max: 2 }),
  begin: fc.nat({ max: 2 }),
  end: fc.nat({ max: 2 }),
  extra: fc.nat({ max: 2 }),
});
type Axis = typeof axis extends fc.Arbitrary<infer T> ? T : never;
const convolution = fc.record({
  axes: fc.integer({ min: 1, max: 3 }).chain((rank) => fc.array(axis, { minLength: rank, maxLength: rank })),
  samples: fc.constantFrom(1, 2, 3),
  groups: fc.constantFrom(1, 1, 2, 3),
  depth: fc.constantFrom(1, 2, 3, 5),
  width: fc.constantFrom(1, 2, 4),
  bias: fc.boolean(),
  autoPad: fc.constantFrom('NOTSET', 'NOTSET', 'SAME_UPPER', 'SAME_LOWER', 'VALID'),
});

function windowOf(axes: readonly Axis[], autoPad: string): Attributes {
  const of = (pick: (axis: Axis) => number) => attribute.ints(axes.map(pick));
  const pads = [...axes.map(({ begin }) => begin), ...axes.map(({ end }) => end)];
  return {
    kernel_shape: of(({ kernel }) => kernel),
    strides: of(({ stride }) => stride),
    dilations: of(({ dilation }) => dilation),
    ...(autoPad === 'NOTSET' ? { pads: attribute.ints(pads) } : { auto_pad: attribute.string(autoPad) }),
  };
}

/** Whether a window fits its padded input everywhere. */
function fits(axes: readonly Axis[], autoPad: string): boolean {
  return axes.every(({ length, kernel, dilation, begin, end }) => {
    const span = (kernel - 1) * dilation + 1;
    return autoPad.startsWith('SAME') || span <= length + (autoPad === 'VALID' ? 0 : begin + end);
  });
}

const withoutGpu = useSwiftShader();
const opened = {
  wasm: await Library.open('wasm', 0, 1),
  javascript: await Library.open('javascript', 0, 1),
  webgpu: withoutGpu ? undefined : await Library.open('webgpu', 0, 1),
};
t.teardown(async () => {
  for (const library of Object.values(opened)) await library?.dispose();
});

for (const [backend, library] of Object.entries(opened)) {
  const skip = backend === 'webgpu' && withoutGpu;
  const noNaN = backend === 'webgpu' && 'WGSL may compute as if there were no NaN and no infinity';
  const RUNS = runsOf(backend === 'webgpu' ? 15 : 60);

  t.test(`${backend}: MatMul`, { skip }, async (t) => {
    await fc.assert(
      fc.asyncProperty(batches, length, length, length, async ([left, right], m, k, n) => {
        const inputs = [floats([...left, m, k], 1), floats([...right, k, n], 2)];
        const { outputs } = await compare(library!, productKernelRules, { operator: 'MatMul', inputs });
        return worst(outputs[0]!) < TOLERANCE;
      }),
      { numRuns: RUNS },
    );
    t.end();
  });

  t.test(`${backend}: Gemm`, { skip }, async (t) => {
    const shapes = fc.record({
      m: length,
      k: length,
      n: length,
      transA: transpose,
      transB: transpose,
      alpha: fc.constantFrom(1, 0.5),
      beta: fc.constantFrom(0, 1, -2),
      addend: fc.constantFrom('none', 'one', 'row', 'column', 'flat', 'matrix'),
    });
    await fc.assert(
      fc.asyncProperty(shapes, async ({ m, k, n, transA, transB, alpha, beta, addend }) => {
        const shape = { none: [], one: [1, 1], row: [1, n], column: [m, 1], flat: [n], matrix: [m, n] }[
          addend
        ];
        const inputs = [floats(transA ? [k, m] : [m, k], 1), floats(transB ? [n, k] : [k, n], 2)];
        const attributes = {
          transA: attribute.int(transA),
          transB: attribute.int(transB),
          alpha: attribute.float(alpha),
          beta: attribute.float(beta),
        };
        if (addend !== 'none') inputs.push(floats(shape, 3));
        const { outputs } = await compare(library!, productKernelRules, {
          operator: 'Gemm',
          inputs,
          attributes,
        });
        return worst(outputs[0]!) < TOLERANCE;
      }),
      { numRuns: RUNS },
    );
    t.end();
  });

  t.test(`${backend}: large products take other forms`, { skip }, async (t) => {
    for (const [m, k, n] of [
      [9, 300, 301],
      [8, 260, 260],
      [3, 20000, 4],
      [2, 100001, 3],
      [5, 4096, 1],
    ] as const) {
      const inputs = [floats([m, k], 4), floats([k, n], 5)];
      const { kernels, outputs } = await compare(library!, productKernelRules, {
        operator: 'MatMul',
        inputs,
      });
      // a sum of k terms of size 1/3 is of size sqrt(k) / 3: the error beside that
      const error = worst(outputs[0]!) / Math.sqrt(k);
      t.ok(error < 1e-6, `${m} x ${k} x ${n} in ${kernels.length} launches: ${error}`);
    }
    t.end();
  });

  t.test(`${backend}: Conv`, { skip }, async (t) => {
    await fc.assert(
      fc.asyncProperty(convolution, async ({ axes, samples, groups, depth, width, bias, autoPad }) => {
        fc.pre(fits(axes, autoPad));
        const inputs = [
          floats([samples, groups * depth, ...axes.map(({ length }) => length)], 6),
          floats([groups * width, depth, ...axes.map(({ kernel }) => kernel)], 7),
        ];
        if (bias) inputs.push(floats([groups * width], 8));
        const attributes = { ...windowOf(axes, autoPad), group: attribute.int(groups) };
        const { outputs } = await compare(library!, convolutionKernels, {
          operator: 'Conv',
          inputs,
          attributes,
        });
        return worst(outputs[0]!) < TOLERANCE;
      }),
      { numRuns: RUNS },
    );
    t.end();
  });

  t.test(`${backend}: ConvTranspose`, { skip }, async (t) => {
    await fc.assert(
      fc.asyncProperty(convolution, async ({ axes, samples, groups, depth, width, bias, autoPad }) => {
        const extra = axes.map(({ extra, stride, dilation }) =>
          Math.min(extra, Math.max(stride, dilation) - 1),
        );
        const lengths = axes.map(
          ({ length, kernel, stride, dilation, begin, end }, i) =>
            (length - 1) * stride + extra[i]! + (kernel - 1) * dilation + 1 - begin - end,
        );
        fc.pre(autoPad !== 'NOTSET' || lengths.every((length) => length > 0));
        const inputs = [
          floats([samples, groups * depth, ...axes.map(({ length }) => length)], 6),
          floats([groups * depth, width, ...axes.map(({ kernel }) => kernel)], 7),
        ];
        if (bias) inputs.push(floats([groups * width], 8));
        const attributes = {
          ...windowOf(axes, autoPad),
          group: attribute.int(groups),
          output_padding: attribute.ints(extra),
        };
        const example = { operator: 'ConvTranspose', inputs, attributes };
        const { outputs } = await compare(library!, transposedConvolutionKernels, example);
        return worst(outputs[0]!) < TOLERANCE;
      }),
      { numRuns: RUNS },
    );
    t.end();
  });

  t.test(`${backend}: a convolution of many channels`, { skip }, async (t) => {
    const inputs = [floats([1, 70, 6, 8], 1), floats([3, 70, 3, 3], 2)];
    const attributes = { kernel_shape: attribute.ints([3, 3]), pads: attribute.ints([1, 1, 1, 1]) };
    const { outputs } = await compare(library!, convolutionKernels, { operator: 'Conv', inputs, attributes });
    t.ok(worst(outputs[0]!) < TOLERANCE);
    t.end();
  });

  const pool = fc.record({
    axes: fc
      .integer({ min: 1, max: 3 })
      .chain((rank) => fc.array(axis, { minLength: rank, maxLength: rank })),
    planes: fc.constantFrom<[number, number]>([1, 1], [2, 3]),
    ceil: fc.nat({ max: 1 }),
    flag: fc.nat({ max: 1 }),
    autoPad: fc.constantFrom('NOTSET', 'NOTSET', 'NOTSET', 'SAME_UPPER', 'SAME_LOWER', 'VALID'),
  });
  /** ONNX asks that no window lies in padding alone: padding of less than the kernel, without gaps. */
  const sees = (axes: readonly Axis[]) =>
    axes.every(({ begin, end, kernel, dilation }) => Math.max(begin, end) < kernel && dilation === 1);

  for (const [operator, flag] of [
    ['MaxPool', 'storage_order'],
    ['AveragePool', 'count_include_pad'],
  ] as const) {
    t.test(`${backend}: ${operator}`, { skip }, async (t) => {
      await fc.assert(
        fc.asyncProperty(pool, async ({ axes, planes, ceil, flag: set, autoPad }) => {
          fc.pre(fits(axes, autoPad) && sees(axes));
          const inputs = [floats([...planes, ...axes.map(({ length }) => length)], 9)];
          const attributes = {
            ...windowOf(axes, autoPad),
            ceil_mode: attribute.int(ceil),
            [flag]: attribute.int(set),
          };
          const example = { operator, inputs, attributes, outputs: operator === 'MaxPool' ? 2 : 1 };
          const { outputs } = await compare(library!, poolingKernels, example);
          return outputs.every((each) => worst(each) < TOLERANCE);
        }),
        { numRuns: RUNS },
      );
      t.end();
    });
  }

  t.test(`${backend}: MaxPool with dilations, NaN and infinities`, { skip: skip || noNaN }, async (t) => {
    const input = floats([1, 2, 7, 7], 3);
    const data = input.data as Float32Array;
    data.set([NaN, -Infinity, -Infinity, Infinity], 20);
    data.fill(-Infinity, 60, 80);
    const attributes = { kernel_shape: attribute.ints([2, 2]), dilations: attribute.ints([2, 3]) };
    const example = { operator: 'MaxPool', inputs: [input], attributes, outputs: 2 };
    const { outputs } = await compare(library!, poolingKernels, example);
    for (const each of outputs) t.equal(worst(each), 0);
    t.end();
  });

  const shape = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 4 });
  for (const operator of ['Softmax', 'LogSoftmax']) {
    t.test(`${backend}: ${operator}`, { skip }, async (t) => {
      await fc.assert(
        fc.asyncProperty(shape, fc.nat({ max: 3 }), fc.constantFrom(1, 100), async (shape, at, size) => {
          const input = floats(shape, 10);
          const data = (input.data as Float32Array).map((x) => x * size);
          const attributes = { axis: attribute.int((at % shape.length) - shape.length) };
          const example = { operator, inputs: [{ ...input, data }], attributes };
          const { outputs } = await compare(library!, softmaxKernels, example);
          return worst(outputs[0]!) < TOLERANCE;
        }),
        { numRuns: RUNS },
      );
      t.end();
    });
  }

  t.test(`${backend}: LayerNormalization`, { skip }, async (t) => {
    const scales = fc.constantFrom<'whole' | 'last' | 'all' | 'column'>('whole', 'last', 'all', 'column');
    await fc.assert(
      fc.asyncProperty(shape, fc.nat({ max: 3 }), scales, fc.boolean(), async (shape, at, kind, bias) => {
        const axis = at % shape.length;
        const given = {
          whole: shape.slice(axis),
          last: shape.slice(-1),
          all: shape,
          column: shape.map((dim, k) => (k === 0 ? dim : 1)),
        }[kind];
        const inputs = [floats(shape, 11), floats(given, 12), ...(bias ? [floats(given, 13)] : [])];
        // an epsilon that keeps the inverse deviation of a lane of one element, or of equal ones, in size
        const attributes = { axis: attribute.int(axis), epsilon: attribute.float(0.01) };
        const example = { operator: 'LayerNormalization', inputs, attributes, outputs: 3 };
        const { outputs } = await compare(library!, normalizationKernels, example);
        return outputs.every((each) => worst(each) < 4 * TOLERANCE);
      }),
      { numRuns: RUNS },
    );
    t.end();
  });

  t.test(
    `${backend}: BatchNormalization with given statistics, and pools of all places`,
    { skip },
    async (t) => {
      for (const shape of [
        [3, 5],
        [2, 3, 7],
        [2, 3, 4, 5],
        [1, 1, 3, 301],
      ]) {
        const channels = shape[1]!;
        const variance = floats([channels], 5);
        const positive = { ...variance, data: (variance.data as Float32Array).map((x) => Math.abs(x) + 0.1) };
        const inputs = [
          floats(shape, 1),
          floats([channels], 2),
          floats([channels], 3),
          floats([channels], 4),
          positive,
        ];
        const example = { operator: 'BatchNormalization', inputs };
        t.ok(worst((await compare(library!, normalizationKernels, example)).outputs[0]!) < TOLERANCE);
        if (shape.length < 3) continue;
        for (const operator of ['GlobalAveragePool', 'GlobalMaxPool']) {
          const { outputs } = await compare(library!, poolingKernels, {
            operator,
            inputs: inputs.slice(0, 1),
          });
          t.ok(worst(outputs[0]!) < TOLERANCE, `${operator} of ${shape.join('x')}`);
        }
      }
      t.end();
    },
  );
}
