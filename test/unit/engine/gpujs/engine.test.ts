import t from 'tap';
import { attribute, GraphBuilder, standardOperators, type TypedGraph } from '../../../../graph/index.js';
import { createEngine, EngineUnavailableError } from '../../../../worker/engine/index.js';
import { Library } from '../../../../worker/engine/gpujs/library.js';

const float = (shape: readonly number[]) => ({ dtype: 'float32', shape }) as const;

/** Two values of 4000 bytes on the way from an input of 4000. */
function deep(): TypedGraph {
  const g = new GraphBuilder(standardOperators);
  g.input('x', float([1000]));
  const total = g.one('ReduceSum', ['x'], { keepdims: attribute.int(1) });
  return g.build('deep', [g.add('Mul', ['x', total], {}, { name: 'scaled', outputs: ['y'] })[0]!]);
}

t.test('a budget counts all programs, before anything is allocated', async (t) => {
  const engine = await createEngine('gpujs', { device: 'wasm', threads: 1, memoryBytes: 20_000 });
  const first = await engine.compile(deep());
  const second = await engine.compile(deep());
  await t.rejects(engine.compile(deep()), {
    code: 'compile_failed',
    message:
      /"deep": it needs 7\.82 KiB .*largest is "\w+" with 3\.91 KiB.* beside 15\.6 KiB .*budget is 19\.5 KiB/,
  });
  await first.dispose();
  const third = await engine.compile(deep());
  await third.dispose();
  await second.dispose();
  await engine.dispose();
});

t.test('devices that it does not have', async (t) => {
  for (const device of ['cuda:0', 'wasm:1', 'gpu', 'webgl:3']) {
    await t.rejects(createEngine('gpujs', { device }), EngineUnavailableError, device);
  }
  const missing = createEngine('gpujs', { device: 'webgl:0' });
  await missing.then(
    (engine) => engine.dispose(),
    (error: unknown) =>
      t.match(error, { code: 'engine_unavailable', message: /npm rebuild gl --ignore-scripts=false/ }),
  );
});

const KERNELS = [
  [
    'a name that is not there',
    'function (a) {\n  return a[this.thread.x] + nothing;\n}',
    /nothing|Identifier is not defined/,
  ],
  ['no JavaScript', 'function (a) {\n  return a[ ;\n}', /Unexpected token \(2:12\)/],
  [
    'text for a number',
    'function (a) {\n  const q = a[0];\n  if (q > 1) { return "x"; }\n  return q;\n}',
    /Non-numeric literal/,
  ],
] as const;

for (const backend of ['wasm', 'javascript'] as const) {
  t.test(`${backend}: a kernel that does not compile says why, and prints nothing`, async (t) => {
    const library = await Library.open(backend, 0, 1);
    const printed = t.capture(console, 'warn', () => undefined);
    const errors = t.capture(console, 'error', () => undefined);
    for (const [what, source, message] of KERNELS) {
      const kernel = { source, inputs: ['x'], output: 'y', extents: [4], constants: {} };
      const sizes = new Map([
        ['x', 4],
        ['y', 4],
      ]);
      const chain = { kernels: [kernel], inputs: ['x'], constants: new Map(), outputs: ['y'], sizes };
      await t.rejects(library.compile(chain), { message }, what);
    }
    t.same([...printed(), ...errors()], []);
    await library.dispose();
  });
}

t.test('what gpu.js reports to have run is what was asked for', async (t) => {
  for (const [backend, threads, executor] of [
    ['wasm', 1, 'fused-sync'],
    ['wasm', 2, 'fused-threaded'],
    ['javascript', 1, 'generic'],
  ] as const) {
    const library = await Library.open(backend, 0, threads);
    const kernel = {
      source: 'function (a) { return a[this.thread.x] * 2; }',
      inputs: ['x'],
      output: 'y',
      extents: [2 ** 16],
      constants: {},
    };
    const sizes = new Map([
      ['x', 2 ** 16],
      ['y', 2 ** 16],
    ]);
    const compiled = await library.compile({
      kernels: [kernel],
      inputs: ['x'],
      constants: new Map(),
      outputs: ['y'],
      sizes,
    });
    t.equal(compiled.executor, executor);
    const y = new Float32Array(2 ** 16);
    await compiled.run([new Float32Array(2 ** 16).fill(3)], [y]);
    t.ok(y.every((value) => value === 6));
    await compiled.dispose();
    await library.dispose();
  }
});
