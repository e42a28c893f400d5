import type { Test } from 'tap';
import {
  attribute,
  emptyData,
  GraphBuilder,
  int64s,
  sizeOf,
  tensorOf,
  type DataType,
  type TensorData,
  type TypedGraph,
} from '../../../graph/index.js';
import { standardOperators } from '../../../graph/operators/index.js';
import { BufferError, measureRates, type Engine, type Program } from '../../../worker/engine/index.js';

const float = (shape: readonly number[]) => ({ dtype: 'float32', shape }) as const;

/** y = x w + b, with w and b parameters. */
function linear(batch: number, from: number, to: number): TypedGraph {
  const g = new GraphBuilder(standardOperators);
  g.input('x', float([batch, from]));
  g.parameter('w', float([from, to]));
  g.parameter('b', float([to]));
  const product = g.one('MatMul', ['x', 'w'], {}, 'product');
  return g.build('linear', [g.one('Add', [product, 'b'], {}, 'sum')]);
}

const outputsOf = (program: Program): TensorData[] =>
  program.outputs.map(({ dtype, shape }) => emptyData(dtype, sizeOf(shape)));

/** Compiles, runs once and gives the outputs as plain values. */
async function once(engine: Engine, graph: TypedGraph, inputs: readonly TensorData[]) {
  const program = await engine.compile(graph);
  const outputs = outputsOf(program);
  await program.run(inputs, outputs);
  await program.dispose();
  return outputs.map((data) => Array.from<number | bigint>(data));
}

/** What engines may differ in, and say so. */
export interface EngineTraits {
  /** Element types that it computes with; any may pass through a program unchanged. */
  readonly computes: readonly DataType[];
  /** Up to here it counts every integer; a larger one fails the run by name. */
  readonly largestInteger: bigint;
}

const ALL: EngineTraits = {
  computes: ['float32', 'float64', 'int64', 'int32', 'bool'],
  largestInteger: 2n ** 63n,
};

/** What every engine must do. */
export async function engineConformance(
  t: Test,
  create: () => Promise<Engine>,
  traits: EngineTraits = ALL,
): Promise<void> {
  const engine = await create();
  t.teardown(() => engine.dispose());

  await t.test('inputs come first, then parameters; results are right', async (t) => {
    const program = await engine.compile(linear(2, 3, 2));
    t.same(
      program.inputs.map(({ name }) => name),
      ['x', 'w', 'b'],
    );
    t.match(program.outputs, [{ dtype: 'float32', shape: [2, 2] }]);
    const y = new Float32Array(4);
    await program.run(
      [Float32Array.of(1, 2, 3, 4, 5, 6), Float32Array.of(1, 0, 0, 1, 1, 1), Float32Array.of(10, 20)],
      [y],
    );
    t.same([...y], [14, 25, 20, 31]);
    await program.dispose();
  });

  await t.test('every element type at the edge', async (t) => {
    const values: readonly (readonly [DataType, TensorData])[] = [
      ['float32', Float32Array.of(1.5, -2)],
      ['float64', Float64Array.of(1e-300, 2)],
      ['int64', BigInt64Array.of(-5n, 2n ** 40n)],
      ['int32', Int32Array.of(-7, 8)],
      ['uint8', Uint8Array.of(0, 255)],
      ['bool', Uint8Array.of(0, 1)],
    ];
    for (const [dtype, data] of values) {
      const g = new GraphBuilder(standardOperators);
      g.input('x', { dtype, shape: [2] });
      const graph = g.build('copy', [g.one('Identity', ['x'])]);
      t.same(await once(engine, graph, [data]), [[...data]], dtype);
    }
  });

  await t.test('element types that it does not compute with are refused with the node', async (t) => {
    const values: readonly (readonly [DataType, TensorData, readonly (number | bigint)[]])[] = [
      ['float32', Float32Array.of(1.5, -2), [3, -4]],
      ['float64', Float64Array.of(1e-300, 2), [2e-300, 4]],
      ['int64', BigInt64Array.of(-5n, 9n), [-10n, 18n]],
      ['int32', Int32Array.of(-7, 8), [-14, 16]],
    ];
    for (const [dtype, data, wanted] of values) {
      const g = new GraphBuilder(standardOperators);
      g.input('x', { dtype, shape: [2] });
      const graph = g.build('twice', [g.add('Add', ['x', 'x'], {}, { name: 'sum' })[0]!]);
      if (traits.computes.includes(dtype)) t.same(await once(engine, graph, [data]), [wanted], dtype);
      else
        await t.rejects(once(engine, graph, [data]), { code: 'compile_failed', ids: { node: 'sum' } }, dtype);
    }
  });

  await t.test('integers beyond what it counts fail the run by name, not silently', async (t) => {
    const g = new GraphBuilder(standardOperators);
    g.input('x', { dtype: 'int64', shape: [1] });
    const program = await engine.compile(g.build('next', [g.one('Neg', ['x'])]));
    const y = new BigInt64Array(1);
    const large = 2n ** 40n + 1n;
    const run = program.run([BigInt64Array.of(large)], [y]);
    if (traits.largestInteger >= large) {
      await run;
      t.equal(y[0], -large);
    } else await t.rejects(run, { code: 'run_failed', message: /input "x" holds 1099511627777/ });
    await program.run([BigInt64Array.of(7n)], [y]);
    t.equal(y[0], -7n);
    await program.dispose();
  });

  await t.test('comparison to bool, selection by bool, gathering by int64', async (t) => {
    const g = new GraphBuilder(standardOperators);
    g.input('table', float([3, 2]));
    g.input('rows', { dtype: 'int64', shape: [2] });
    g.input('limit', float([]));
    const rows = g.one('Gather', ['table', 'rows'], { axis: attribute.int(0) });
    const above = g.one('Greater', [rows, 'limit']);
    const chosen = g.one('Where', [above, rows, 'limit']);
    const inputs = [Float32Array.of(1, 2, 3, 4, 5, 6), BigInt64Array.of(2n, 0n), Float32Array.of(2)];
    t.same(await once(engine, g.build('select', [above, chosen]), inputs), [
      [1, 1, 0, 0],
      [5, 6, 2, 2],
    ]);
  });

  await t.test('scalars in and out', async (t) => {
    const g = new GraphBuilder(standardOperators);
    g.input('x', float([]));
    g.input('y', float([3]));
    const product = g.one('Mul', ['x', 'y']);
    const sum = g.one('ReduceSum', [product], { keepdims: attribute.int(0) });
    t.same(g.shapeOf(sum), []);
    t.same(await once(engine, g.build('scalars', [sum]), [Float32Array.of(2), Float32Array.of(1, 2, 3)]), [
      [12],
    ]);
  });

  await t.test('an empty batch', async (t) => {
    const parameters = [new Float32Array(6), new Float32Array(2)];
    t.same(await once(engine, linear(0, 3, 2), [new Float32Array(0), ...parameters]), [[]]);
  });

  await t.test('views at any offset; nothing beside them changes', async (t) => {
    const program = await engine.compile(linear(1, 2, 1));
    const memory = new ArrayBuffer(64);
    const all = new Float32Array(memory).fill(9);
    const view = (at: number, ...values: number[]) => {
      const array = new Float32Array(memory, 4 * at, values.length);
      array.set(values);
      return array;
    };
    const y = new Float32Array(memory, 4 * 9, 1);
    await program.run([view(1, 1, 2), view(4, 3, 4), view(7, 5)], [y]);
    t.same([...all], [9, 1, 2, 9, 3, 4, 9, 5, 9, 16, 9, 9, 9, 9, 9, 9]);
    await program.dispose();
  });

  await t.test('outputs that are inputs, parameters, constants or each other', async (t) => {
    const g = new GraphBuilder(standardOperators);
    g.input('x', float([2]));
    g.parameter('p', float([1]));
    const constant = g.constant(int64s([7, 8]));
    const twice = g.one('Add', ['x', 'x']);
    const graph = g.build('direct', ['x', twice, 'p', constant, twice]);
    const results = await once(engine, graph, [Float32Array.of(1, 2), Float32Array.of(3)]);
    t.same(results, [[1, 2], [2, 4], [3], [7n, 8n], [2, 4]]);
  });

  await t.test('an input that no node reads', async (t) => {
    const g = new GraphBuilder(standardOperators);
    g.input('unused', float([5]));
    g.input('x', float([1]));
    const graph = g.build('unused', [g.one('Neg', ['x'])]);
    t.same(await once(engine, graph, [new Float32Array(5), Float32Array.of(4)]), [[-4]]);
  });

  await t.test('arrays may change between runs, or be others', async (t) => {
    const program = await engine.compile(linear(1, 1, 1));
    const [x, w, b, y] = [1, 2, 3, 0].map((value) => Float32Array.of(value)) as [
      Float32Array<ArrayBuffer>,
      ...Float32Array<ArrayBuffer>[],
    ] as Float32Array[];
    for (let i = 0; i < 5; i++) {
      x![0] = i;
      await program.run([x!, w!, b!], [y!]);
      t.equal(y![0], 2 * i + 3);
    }
    const other = new Float32Array(1);
    await program.run([Float32Array.of(10), w!, b!], [other]);
    t.equal(other[0], 23);
    t.equal(y![0], 11, 'the arrays of an earlier run are not kept');
    await program.dispose();
  });

  await t.test('buffers that do not fit are refused by name, and the program lives on', async (t) => {
    const program = await engine.compile(linear(1, 2, 1));
    const good = [Float32Array.of(1, 1), Float32Array.of(1, 1), Float32Array.of(1)];
    const y = [new Float32Array(1)];
    const cases: readonly (readonly [RegExp, readonly TensorData[], readonly TensorData[]])[] = [
      [/3 inputs are needed, 2 were given/, good.slice(1), y],
      [/input "x" \(float32\[1,2\]\) cannot be a Float64Array/, [new Float64Array(2), ...good.slice(1)], y],
      [/input "w" \(float32\[2,1\]\) needs 2 elements, got 3/, [good[0]!, new Float32Array(3), good[2]!], y],
      [/output ".*" \(float32\[1,1\]\) needs 1 elements, got 0/, good, [new Float32Array(0)]],
      [/SharedArrayBuffer/, [new Float32Array(new SharedArrayBuffer(8)), ...good.slice(1)], y],
    ];
    for (const [message, inputs, outputs] of cases) {
      await t.rejects(program.run(inputs, outputs), { message });
      await t.rejects(program.run(inputs, outputs), BufferError);
    }
    const gone = new Float32Array(2);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    await t.rejects(program.run([gone, ...good.slice(1)], y), { message: /was transferred/ });
    await program.run(good, y);
    t.equal(y[0]![0], 3);
    await program.dispose();
  });

  await t.test('an index out of range fails the run, not the program', async (t) => {
    const g = new GraphBuilder(standardOperators);
    g.input('table', float([2]));
    g.input('row', { dtype: 'int64', shape: [1] });
    const program = await engine.compile(
      g.build('rows', [g.add('Gather', ['table', 'row'], {}, { name: 'pick' })[0]!]),
    );
    const table = Float32Array.of(5, 6);
    const y = new Float32Array(1);
    await t.rejects(program.run([table, BigInt64Array.of(9n)], [y]), {
      code: 'run_failed',
      message: /"rows"/,
    });
    await program.run([table, BigInt64Array.of(1n)], [y]);
    t.equal(y[0], 6);
    await program.dispose();
  });

  await t.test('an operator that it lacks is refused with the node', async (t) => {
    const types = new Map(['x', 'y'].map((name) => [name, float([1])]));
    const node = {
      name: 'odd',
      operator: 'NoSuchOperator',
      domain: '',
      inputs: ['x'],
      outputs: ['y'],
      attributes: {},
    };
    const parts = { parameters: new Map(), constants: new Map(), types };
    const graph: TypedGraph = { name: 'bad', inputs: ['x'], outputs: ['y'], nodes: [node], ...parts };
    await t.rejects(engine.compile(graph), {
      code: 'compile_failed',
      message: /NoSuchOperator/,
      ids: { node: 'odd' },
    });
  });

  await t.test('many programs, each on its own', async (t) => {
    const programs: Program[] = [];
    for (let n = 1; n <= 20; n++) programs.push(await engine.compile(linear(1, n, 1)));
    await programs[4]!.dispose();
    await programs[4]!.dispose();
    await t.rejects(programs[4]!.run([], []), BufferError);
    for (const [i, program] of programs.entries()) {
      if (i === 4) continue;
      const y = new Float32Array(1);
      await program.run(
        [new Float32Array(i + 1).fill(1), new Float32Array(i + 1).fill(1), Float32Array.of(0.5)],
        [y],
      );
      t.equal(y[0], i + 1.5);
      await program.dispose();
    }
  });

  await t.test('a large constant travels with the graph', async (t) => {
    const g = new GraphBuilder(standardOperators);
    g.input('x', float([1]));
    const mask = g.constant(
      tensorOf(
        'float32',
        [1000],
        Array.from({ length: 1000 }, (_, i) => i),
      ),
    );
    const sum = g.one('ReduceSum', [g.one('Mul', [mask, 'x'])], { keepdims: attribute.int(0) });
    t.same(await once(engine, g.build('constant', [sum]), [Float32Array.of(2)]), [[999000]]);
  });

  await t.test('its speed can be measured', async (t) => {
    const rates = await measureRates(engine, 0.01);
    for (const rate of ['flops', 'convolutionFlops', 'memoryBandwidthBytesPerSecond'] as const)
      t.ok(rates[rate] > 1e4 && rates[rate] < 1e14, `${rate} ${rates[rate]}`);
    t.ok(rates.launchSeconds > 1e-8 && rates.launchSeconds < 0.01, `${rates.launchSeconds} s an operator`);
  });

  await t.test('disposing the engine disposes its programs', async (t) => {
    const other = await create();
    const program = await other.compile(linear(1, 1, 1));
    await other.dispose();
    await other.dispose();
    await t.rejects(program.run([], []), BufferError);
  });
}
