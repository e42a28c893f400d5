import fc from 'fast-check';
import t, { type Test } from 'tap';
import {
  checkOperator,
  evaluate,
  fromReference,
  GraphBuilder,
  KernelError,
  parseKernel,
  readOperator,
  runKernel,
  sizeOf,
  standardOperators,
  toReference,
  withCustom,
  type Attributes,
  type CustomOperator,
  type Tensor,
  type TypedGraph,
} from '../../../graph/index.js';
import { differentiate } from '../../../graph/gradient/index.js';
import { createEngine } from '../../../worker/engine/index.js';
import { swiftShader } from '../../swiftshader.js';
import { rowSum, snake } from '../../unit/custom/snake.js';
import { floats } from './kernels.js';

/** The operator with the gradients of all its inputs. */
function graphOf(
  { domain, name, inputs, ...rest }: CustomOperator,
  shapes: readonly (readonly number[])[],
  attributes: Attributes,
) {
  const operator = { domain, name, inputs, ...rest };
  const builder = new GraphBuilder(standardOperators);
  inputs.forEach((input, i) => builder.input(input, { dtype: 'float32', shape: shapes[i]! }));
  const [y] = builder.add(name, inputs, withCustom(attributes, { operator, part: 'forward' }), { domain });
  const { nodes } = builder.build('forward', [y!]);
  builder.input('dy', builder.typeOf(y!));
  const found = differentiate(builder, nodes, new Map([[y!, 'dy']]), inputs);
  return builder.build('custom', [y!, ...found.values()]);
}

async function compare(
  t: Test,
  device: string,
  graph: TypedGraph,
  values: readonly Tensor[],
  tolerance = 1e-5,
): Promise<void> {
  const engine = await createEngine('gpujs', { device, threads: 1 });
  try {
    const program = await engine.compile(graph);
    t.same(program.fallbacks, []);
    const outputs = program.outputs.map(({ shape }) => new Float32Array(sizeOf(shape)));
    await program.run(
      values.map(({ data }) => data),
      outputs,
    );
    const wanted = evaluate(graph, new Map(graph.inputs.map((name, i) => [name, toReference(values[i]!)])));
    graph.outputs.forEach((name, i) => {
      const theirs = fromReference(wanted.get(name)!).data as Float32Array;
      const far = outputs[i]!.findIndex(
        (x, at) => Math.abs(x - theirs[at]!) > tolerance * Math.max(1, Math.abs(theirs[at]!)),
      );
      t.equal(
        far,
        -1,
        `${name}[${far}] is ${String(outputs[i]![far])}, and ${String(theirs[far])} for the reference`,
      );
    });
  } finally {
    await engine.dispose();
  }
}

const shader = swiftShader();
if (shader) Object.assign(process.env, shader.env);
const devices: readonly (readonly [string, string | false, number])[] = [
  ['cpu', false, 1e-5],
  ['wasm', false, 1e-5],
  ['webgpu', shader ? false : 'SwiftShader is not installed', 1e-3],
];

for (const [device, skip, tolerance] of devices) {
  t.test(
    `users' operators and their gradients on gpujs ${device} are those of the reference`,
    { skip },
    async (t) => {
      const attributes: Attributes = {
        scale: { kind: 'float', value: 1.5 },
        shift: { kind: 'int', value: -2 },
      };
      const positive = (tensor: Tensor): Tensor => ({
        ...tensor,
        data: (tensor.data as Float32Array).map((x) => 1.5 + x / 2),
      });
      const values = [floats([4, 3], 1), positive(floats([3], 2)), floats([4, 3], 3)];
      await compare(t, device, graphOf(snake.operator, [[4, 3], [3]], attributes), values, tolerance);
      await compare(
        t,
        device,
        graphOf(rowSum.operator, [[4, 3]], {}),
        [floats([4, 3], 1), floats([4, 1], 4)],
        tolerance,
      );
    },
  );
}

/** Random kernels of one array, as text, that read only what is there. */
const kernels = fc.letrec<{ number: string; test: string; plain: string; statement: string }>((tie) => ({
  number: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(
      'this.thread.x',
      'x[this.thread.x]',
      'a',
      'b',
      'this.constants.k',
      '0',
      '1',
      '2',
      '0.5',
      'x[0]',
    ),
    fc
      .tuple(tie('number'), fc.constantFrom('+', '-', '*'), tie('number'))
      .map(([l, o, r]) => `(${l} ${o} ${r})`),
    tie('number').map((of) => `(${of} / 4)`),
    tie('number').map((of) => `(-${of})`),
    tie('number').map((of) => `Math.tanh(${of})`),
    fc.tuple(tie('number'), tie('number')).map(([l, r]) => `Math.max(${l}, ${r})`),
    fc.tuple(tie('test'), tie('number'), tie('number')).map(([c, l, r]) => `(${c} ? ${l} : ${r})`),
  ),
  test: fc.oneof(
    { maxDepth: 2 },
    fc.tuple(tie('number'), fc.constantFrom('<', '>='), tie('number')).map(([l, o, r]) => `(${l} ${o} ${r})`),
    fc.tuple(tie('test'), fc.constantFrom('&&', '||'), tie('test')).map(([l, o, r]) => `(${l} ${o} ${r})`),
    tie('test').map((of) => `(!${of})`),
  ),
  plain: fc.oneof(
    { maxDepth: 2 },
    tie('number').map((of) => `b = ${of};`),
    tie('number').map((of) => `b = Math.tanh(b) + ${of};`),
    fc.tuple(tie('test'), tie('plain'), tie('plain')).map(([c, l, r]) => `if (${c}) { ${l} } else { ${r} }`),
  ),
  statement: fc.oneof(
    tie('plain'),
    tie('plain').map((of) => `for (let i = 0; i < this.constants.x_0; i += 2) { ${of} b += x[i] * i; }`),
    fc
      .tuple(tie('test'), tie('plain'))
      .map(([c, of]) => `for (let i = 3; i > 0; i--) { if (${c}) break; ${of} }`),
  ),
}));

t.test('random kernels compute on gpujs what the reference does', async (t) => {
  // what lies near a jump (comparisons, truncation) may fall on either side in float32
  const body = fc.tuple(
    kernels.number,
    kernels.number,
    fc.array(kernels.statement, { maxLength: 3 }),
    kernels.number,
  );
  const engines = await Promise.all(
    ['cpu', 'wasm'].map((device) => createEngine('gpujs', { device, threads: 1 })),
  );
  const x = floats([6], 9);
  const property = fc.asyncProperty(body, async ([a, b, statements, result]) => {
    const first = (text: string) => text.replaceAll(/\b[ab]\b/g, '1');
    const forward = `function (x) { const a = ${first(a)}; let b = ${first(b)}; ${statements.join(' ')} return ${result}; }`;
    const operator = readOperator({
      domain: 'my.ops',
      name: 'Random',
      inputs: ['x'],
      attributes: { k: 3 },
      forward,
      gradient: { x: 'none' },
    });
    const graph = graphOf(operator, [[6]], {});
    const one: TypedGraph = { ...graph, inputs: ['x'] };
    const wanted = evaluate(one, new Map([['x', toReference(x)]])).get(graph.outputs[0]!)!.data;
    if (!wanted.every((y) => Math.abs(y) < 1e6)) return;
    for (const engine of engines) {
      const program = await engine.compile(one);
      const y = new Float32Array(6);
      await program.run([x.data], [y]);
      await program.dispose();
      y.forEach((got, i) => {
        const near = Math.abs(got - wanted[i]!) <= 1e-3 * Math.max(1, Math.abs(wanted[i]!));
        if (!near)
          throw new RangeError(`${engine.device}: cell ${i} is ${got}, not ${wanted[i]!}: ${forward}`);
      });
    }
  });
  await fc.assert(property, { numRuns: 60, seed: 7 });
  for (const engine of engines) await engine.dispose();
  t.pass();
});

t.test('whatever text comes, it is refused or it is a kernel that ends', (t) => {
  const pieces = fc.constantFrom(
    ...[
      'function (x) {',
      '}',
      '{',
      '(',
      ')',
      'return',
      'x[0]',
      'x',
      'this.thread.x',
      'this',
      '.',
      'constructor',
      '[',
      ']',
      ';',
    ],
    ...[
      'let a = 1',
      'a',
      '= 2',
      'for (let i = 0; i < 3; i++)',
      'while (1)',
      'if (x[0] > 0)',
      '=>',
      '`${',
      '}`',
      "'text'",
    ],
    ...[
      'Math.sin',
      'Math',
      'process',
      'require',
      'globalThis',
      'eval',
      'import',
      'new',
      'class',
      ',',
      '?',
      ':',
      '+',
      '1',
      '__proto__',
    ],
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(pieces, { maxLength: 24 }).map((list) => list.join(' ')),
    fc.array(pieces, { maxLength: 16 }).map((list) => `function (x) { ${list.join(' ')} return 1; }`),
    kernels.number.map((of) => `function (x) { const a = 1; let b = 2; return ${of}; }`),
  );
  let accepted = 0;
  const property = fc.property(text, (source) => {
    const [constants, extents] = [new Set(['k', 'x_0']), new Set(['x_0'])];
    try {
      const text = { operator: 'my.ops.Fuzz', title: 'forward', source, constants, extents, arrays: 1 };
      const kernel = parseKernel(text);
      accepted++;
      runKernel('my.ops.Fuzz', kernel, {
        arrays: [Float64Array.of(1, 2)],
        constants: { k: 1, x_0: 2 },
        size: 2,
      });
    } catch (error) {
      if (error instanceof KernelError) return;
      if (!(error instanceof Error) || !/^operator my\.ops\.Fuzz: forward, line/.test(error.message))
        throw error;
    }
  });
  fc.assert(property, { numRuns: 3000 });
  t.ok(accepted > 100, `${accepted} were kernels`);
  t.end();
});

t.test('gradients of smooth operators agree with differences for many shapes', (t) => {
  const shape = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }));
  fc.assert(
    fc.property(shape, fc.nat(), ([n, c], seed) => {
      checkOperator({ operator: snake.operator, shapes: [[n, c], [c]], attributes: {} }, seed);
      checkOperator({ operator: rowSum.operator, shapes: [[n, c]], attributes: {} }, seed);
    }),
    { numRuns: 50 },
  );
  t.end();
});
