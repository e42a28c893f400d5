import t, { type Test } from 'tap';
import {
  attribute,
  emptyData,
  GraphBuilder,
  int64s,
  sizeOf,
  standardOperators,
  type TypedGraph,
} from '../../../graph/index.js';
import { ComputeThread, type ProgramId, type SequencePlan } from '../../../worker/engine/index.js';
import { OnnxRuntimeEngine } from '../../../worker/engine/onnxruntime/engine.js';
import { useSwiftShader } from '../../swiftshader.js';

const skip = useSwiftShader();
const float = (shape: readonly number[]) => ({ dtype: 'float32', shape }) as const;

const write = (name: string, f: (g: GraphBuilder) => readonly string[]): TypedGraph => {
  const g = new GraphBuilder(standardOperators);
  return g.build(name, f(g));
};

/** h = relu(x w), then y = h w2 and the sign of h: what a training step leaves for its second half. */
const first = (n: number) =>
  write('first', (g) => {
    g.input('x', float([n, n]));
    g.parameter('w', float([n, n]));
    const h = g.add('Relu', [g.one('MatMul', ['x', 'w'])], {}, { outputs: ['h'] });
    return [...h, g.one('ReduceSum', ['h'], { keepdims: attribute.int(0) })];
  });
const second = (n: number) =>
  write('second', (g) => {
    g.input('h', float([n, n]));
    g.parameter('w', float([n, n]));
    return [g.one('MatMul', ['h', 'w'])];
  });

async function webgpu(t: Test, options = {}): Promise<OnnxRuntimeEngine> {
  const engine = await OnnxRuntimeEngine.create({ device: 'webgpu', threads: 1, ...options });
  t.teardown(() => engine.dispose());
  return engine;
}

void t.test('values in owned buffers stay on the device, and not one too many', { skip }, async (t) => {
  const engine = await webgpu(t);
  const memory = engine.memory!;
  const n = 4;
  const programs = [await engine.compile(first(n)), await engine.compile(second(n))] as const;
  const [weights, between] = [new ArrayBuffer(4 * n * n), new ArrayBuffer(4 * n * n)];
  const w = new Float32Array(weights).fill(0.5);
  memory.own(weights);
  memory.own(between);
  const h = new Float32Array(between);
  const x = new Float32Array(n * n).fill(1);
  const [sum, y] = [new Float32Array(1), new Float32Array(n * n)];
  for (let step = 0; step < 100; step++) {
    await programs[0].run([x, w], [h, sum]);
    await programs[1].run([h, w], [y]);
    t.equal(memory.count, 2, 'the weights and what lies between');
    if (step === 0) t.equal(sum[0], 32);
  }
  t.same(
    [...y],
    Array.from({ length: 16 }, () => 4),
  );
  t.same(
    [...h],
    Array.from({ length: 16 }, () => 0),
    'it never came down',
  );
  t.equal(memory.bytes, 2 * 64);
  await memory.release(between);
  t.same(
    [...h],
    Array.from({ length: 16 }, () => 2),
    'it comes when it is asked for',
  );
  memory.drop(weights);
  t.equal(memory.count, 0);
  t.equal(memory.bytes, 0);
});

void t.test(
  'bytes that are read as another type, or written over in part, go through the host',
  { skip },
  async (t) => {
    const engine = await webgpu(t);
    const buffer = new ArrayBuffer(32);
    engine.memory!.own(buffer);
    const twice = (shape: readonly number[]) =>
      write('twice', (g) => [g.one('Add', [g.input('x', float(shape)), 'x'])]);
    const [whole, square, half] = [
      await engine.compile(twice([8])),
      await engine.compile(twice([2, 2])),
      await engine.compile(twice([4])),
    ];
    await whole.run([Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8)], [new Float32Array(buffer)]);
    const out = new Float32Array(4);
    await square.run([new Float32Array(buffer, 16, 4)], [out]);
    t.same([...out], [20, 24, 28, 32]);
    await whole.run([Float32Array.of(1, 1, 1, 1, 1, 1, 1, 1)], [new Float32Array(buffer)]);
    await half.run([Float32Array.of(5, 6, 7, 8)], [new Float32Array(buffer, 0, 4)]);
    await engine.memory!.release(buffer);
    t.same([...new Float32Array(buffer)], [10, 12, 14, 16, 2, 2, 2, 2]);
  },
);

void t.test('one run may read the same bytes as two values', { skip }, async (t) => {
  const engine = await webgpu(t);
  const buffer = new ArrayBuffer(32);
  engine.memory!.own(buffer);
  const product = write('product', (g) => {
    g.input('row', float([1, 4]));
    g.input('column', float([4, 1]));
    return [g.one('MatMul', ['row', 'column'])];
  });
  const double = write('double', (g) => [g.one('Add', [g.input('x', float([4])), 'x'])]);
  const [made, used] = [await engine.compile(double), await engine.compile(product)];
  const values = new Float32Array(buffer, 0, 4);
  const out = new Float32Array(1);
  for (const x of [1, 2]) {
    await made.run([Float32Array.of(x, 2, 3, 4)], [values]);
    await used.run([values, values], [out]);
    await used.run([values, values], [out]);
    t.equal(out[0], 4 * (x * x + 4 + 9 + 16));
  }
  await engine.memory!.release(buffer);
  t.same([...values], [4, 4, 6, 8]);
  t.equal(engine.memory!.count, 0);
  t.equal(engine.memory!.bytes, 0);
});

void t.test(
  'indices that a program left on the device are not looked for on the host',
  { skip },
  async (t) => {
    const engine = await webgpu(t);
    const ids = { dtype: 'int64', shape: [2, 2] } as const;
    const turned = write('turned', (g) => [g.one('Transpose', [g.input('ids', ids)])]);
    const looked = write('looked', (g) => {
      g.input('table', float([4]));
      g.input('at', ids);
      return [g.one('Gather', ['table', 'at'])];
    });
    const [turn, look] = [await engine.compile(turned), await engine.compile(looked)];
    const left = new BigInt64Array(4).fill(99n); // of something else, before
    engine.memory!.own(left.buffer);
    const out = new Float32Array(4);
    await turn.run([BigInt64Array.of(0n, 1n, 2n, 3n)], [left]);
    t.equal(left[0], 99n, 'they stay there');
    await look.run([Float32Array.of(10, 20, 30, 40), left], [out]);
    t.same([...out], [10, 30, 20, 40]);
    await t.rejects(
      look.run([Float32Array.of(1, 2, 3, 4), BigInt64Array.of(0n, 1n, 2n, 4n)], [out]),
      /input "at" holds 4 at 3/,
    );
  },
);

void t.test('a thread of two segments computes on the GPU what it does on the CPU', { skip }, async (t) => {
  const n = 8;
  const results: number[][] = [];
  for (const device of ['cpu', 'webgpu']) {
    const thread = await ComputeThread.start({ engine: 'onnxruntime', device, threads: 1 });
    t.teardown(() => thread.close());
    const programs = [await thread.compile(first(n)), await thread.compile(second(n))].map(
      ({ program }) => program,
    );
    const sequence = await thread.prepare(planOf(programs, 4 * n * n));
    const key = thread.newKey();
    const seen: number[] = [];
    let [input, output]: ArrayBuffer[] = [
      Float32Array.from({ length: n * n }, (_, i) => Math.sin(i)).buffer,
      new ArrayBuffer(4 * n * n + 4),
    ];
    for (let step = 0; step < 3; step++) {
      const w = Float32Array.from({ length: n * n }, (_, i) => Math.cos(i * (step + 1)));
      await thread.hold(key, w.buffer);
      await sequence.run([input, key, undefined, output], (_, buffers) => {
        for (const { index, buffer } of buffers) {
          if (index === 0) input = buffer;
          else output = buffer;
        }
      });
      seen.push(...new Float32Array(output!));
      const [back] = await thread.take([key]);
      t.equal(
        new Float32Array(back!)[1],
        Math.fround(Math.cos(step + 1)),
        'parameters come back as they were',
      );
    }
    results.push(seen);
    await sequence.dispose();
  }
  const [cpu, gpu] = results as [number[], number[]];
  t.equal(cpu.length, 3 * (n * n + 1));
  t.ok(cpu.every((value, i) => Math.abs(value - gpu[i]!) <= 1e-4 * Math.max(1, Math.abs(value))));
});

/** Buffer 0 brings x, 1 is kept (the weights), 2 stays, 3 takes y and the sum away. */
function planOf([one, two]: readonly ProgramId[], bytes: number): SequencePlan {
  const at = (buffer: number, byteOffset = 0) => ({ buffer, byteOffset });
  return {
    buffers: [
      { bytes, kind: 'travelling' },
      { bytes, kind: 'travelling' },
      { bytes, kind: 'resident' },
      { bytes: bytes + 4, kind: 'travelling' },
    ],
    segments: [
      { program: one!, inputs: [at(0), at(1)], outputs: [at(2), at(3, bytes)], release: [0] },
      { program: two!, inputs: [at(2), at(1)], outputs: [at(3)], release: [3] },
    ],
  };
}

/** Squares of ids: int64 arithmetic, which WebGPU has not. */
const squares = () =>
  write('squares', (g) => {
    g.input('ids', { dtype: 'int64', shape: [2] });
    return [g.one('Mul', ['ids', 'ids'], {}, 'square')];
  });

void t.test('what falls back is told by name, and can be forbidden', { skip }, async (t) => {
  const engine = await webgpu(t);
  const program = await engine.compile(squares());
  t.match(program.fallbacks, [{ node: 'square', operator: 'Mul' }]);
  const result = emptyData('int64', 2);
  await program.run([BigInt64Array.of(3n, 2n ** 31n)], [result]);
  t.same([...result], [9n, 2n ** 62n], 'and is right');
  t.same((await engine.compile(first(2))).fallbacks, []);
  const strict = await webgpu(t, { fallback: 'forbid' });
  await t.rejects(strict.compile(squares()), {
    code: 'compile_failed',
    message: /1 node would run on the CPU.*"square" \(Mul\)/,
    ids: { node: 'square' },
  });
  const thread = await ComputeThread.start({ engine: 'onnxruntime', device: 'webgpu', threads: 1 });
  t.teardown(() => thread.close());
  thread.fallback = 'forbid';
  await t.rejects(thread.compile(squares()), { code: 'compile_failed', message: /"square" \(Mul\)/ });
  thread.fallback = 'report';
  await thread.compile(squares());
  t.match(thread.takeFallbacks(), [{ node: 'square' }], 'and for one run alone');
});

void t.test('a budget and a largest value are kept before anything is allocated', { skip }, async (t) => {
  const engine = await webgpu(t, { memoryBytes: 40_000 });
  await t.rejects(engine.compile(first(64)), {
    code: 'device_memory',
    message: /"first" does not fit webgpu.*39.06 KiB|budget/,
  });
  const program = await engine.compile(first(32));
  const buffers = [1, 2].map(() => new ArrayBuffer(4 * sizeOf([32, 32])));
  buffers.forEach((buffer) => engine.memory!.own(buffer));
  const [x, w] = [new Float32Array(1024), new Float32Array(1024)];
  const outputs = [new Float32Array(buffers[0]!), new Float32Array(1)];
  await program.run([x, w], outputs);
  const other = await engine.compile(second(56));
  await t.rejects(other.run([new Float32Array(3136), new Float32Array(3136)], [new Float32Array(3136)]), {
    code: 'device_memory',
    message: /4.00 KiB are there/,
  });
  const huge = write('huge', (g) => {
    g.input('x', float([1]));
    return [g.one('Softmax', [g.one('Expand', ['x', g.constant(int64s([2 ** 30]))])], {}, 'whole')];
  });
  await t.rejects((await webgpu(t)).compile(huge), {
    code: 'device_memory',
    message: /\(Softmax\) needs float32\[1073741824\].*4.00 GiB, and one buffer holds at most/,
  });
});

void t.test(
  'without a driver there is no device, and the message says what is missing',
  { skip },
  async (t) => {
    const env = { ...process.env, VK_ICD_FILENAMES: '/nonexistent' };
    const { execFile } = await import('node:child_process');
    const entry = new URL('../../../worker/engine/index.js', import.meta.url).href;
    const code = `const { createEngine } = await import('${entry}');
    await createEngine('onnxruntime', { device: 'webgpu' }).catch((error) => console.log(error.code, error.message));`;
    const said = await new Promise<string>((resolve) => {
      execFile(process.execPath, ['--input-type=module', '-e', code], { env }, (_, stdout) =>
        resolve(stdout),
      );
    });
    t.match(said, /engine_unavailable .*libvulkan1/);
  },
);
