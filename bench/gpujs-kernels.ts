/**
 * What gpu.js makes of the products and convolutions of worker/engine/gpujs/kernels: GFLOP/s of each backend, beside the
 * obvious kernel (one cell an element, one running sum) and onnxruntime's own product or convolution on one
 * thread. Everything in one run, in turns; medians with the fastest and slowest.
 *
 * usage: node dist/bench/gpujs-kernels.js [--backends wasm,javascript,webgpu] [--rounds 7] [--only TEXT] [--json]
 */
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import * as ort from 'onnxruntime-node';
import { version } from '../base/index.js';
import {
  attribute,
  GraphBuilder,
  sizeOf,
  standardOperators,
  writeTypedGraph,
  type Attributes,
} from '../graph/index.js';
import type { Backend, Kernel } from '../worker/engine/gpujs/kernel.js';
import { kernelRuleOf } from '../worker/engine/gpujs/kernels/index.js';
import { Library } from '../worker/engine/gpujs/library.js';

const { values: options } = parseArgs({
  options: {
    backends: { type: 'string', default: 'wasm,javascript' },
    rounds: { type: 'string', default: '7' },
    only: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
  },
});

interface Case {
  readonly name: string;
  readonly operator: string;
  readonly shapes: readonly (readonly number[])[];
  readonly attributes?: Attributes;
  /** Multiplications and additions. */
  readonly flops: number;
  /** The obvious kernel. */
  readonly naive: { readonly source: string; readonly extents: readonly number[] };
}

/** A product with the strides of its factors. */
function product(
  name: string,
  [m, k, n]: readonly [number, number, number],
  turned: 'none' | 'a' | 'b' = 'none',
): Case {
  const a = turned === 'a' ? `a[k * ${m} + this.thread.y]` : `a[this.thread.y * ${k} + k]`;
  const b = turned === 'b' ? `b[this.thread.x * ${k} + k]` : `b[k * ${n} + this.thread.x]`;
  const attributes: Attributes =
    turned === 'none' ? {} : { [turned === 'a' ? 'transA' : 'transB']: attribute.int(1) };
  return {
    name: `${name}, ${m} x ${k} x ${n}`,
    operator: 'Gemm',
    shapes: [turned === 'a' ? [k, m] : [m, k], turned === 'b' ? [n, k] : [k, n]],
    attributes,
    flops: 2 * m * k * n,
    naive: {
      source: `function (a, b) { let s = 0; for (let k = 0; k < ${k}; k++) { s += ${a} * ${b}; } return s; }`,
      extents: [n, m],
    },
  };
}

/** A 3x3 convolution of stride 1 with a border of 1. */
function convolution(samples: number, inputs: number, outputs: number, side: number): Case {
  const inside = `y >= 0 && y < ${side} && x >= 0 && x < ${side}`;
  const element = `a[((n * ${inputs} + c) * ${side} + y) * ${side} + x] * b[((m * ${inputs} + c) * 3 + j) * 3 + i]`;
  return {
    name: `3x3 convolution, ${samples} x ${inputs} to ${outputs} x ${side} x ${side}`,
    operator: 'Conv',
    shapes: [
      [samples, inputs, side, side],
      [outputs, inputs, 3, 3],
    ],
    attributes: { kernel_shape: attribute.ints([3, 3]), pads: attribute.ints([1, 1, 1, 1]) },
    flops: 2 * samples * inputs * outputs * side * side * 9,
    naive: {
      source: `function (a, b) {
  let s = 0;
  const n = Math.floor((this.thread.z + 0.5) / ${outputs});
  const m = this.thread.z - n * ${outputs};
  for (let c = 0; c < ${inputs}; c++) { for (let j = 0; j < 3; j++) { for (let i = 0; i < 3; i++) {
    const y = this.thread.y + j - 1;
    const x = this.thread.x + i - 1;
    if (${inside}) { s += ${element}; }
  } } }
  return s;
}`,
      extents: [side, side, samples * outputs],
    },
  };
}

const CASES: Readonly<Record<'large' | 'small', readonly Case[]>> = {
  large: [
    product('product', [256, 256, 256]),
    product('product, A transposed', [256, 256, 256], 'a'),
    product('product, B transposed', [256, 256, 256], 'b'),
    product('product, wide', [64, 1024, 1024]),
    product('product, long sum', [32, 8192, 32], 'a'),
    product('product, odd', [129, 131, 127]),
    convolution(4, 16, 16, 32),
    convolution(4, 64, 64, 8),
    convolution(4, 32, 32, 14),
  ],
  // software drivers of GPUs are slow
  small: [
    product('product', [64, 64, 64]),
    product('product, B transposed', [64, 64, 64], 'b'),
    convolution(1, 8, 8, 16),
  ],
};

interface Contender {
  readonly seconds: number[];
  run(): Promise<unknown>;
}

interface Row {
  readonly backend: string;
  readonly name: string;
  readonly launches: number;
  readonly executor: string;
  readonly gigaflops: number;
  readonly slowest: number;
  readonly fastest: number;
  readonly overNaive: number;
  readonly ofOnnxRuntime: number;
}

const noise = (size: number): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => {
    const x = Math.sin(i * 12.9898) * 43758.5453;
    return x - Math.floor(x) - 0.5;
  });

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

async function measure(library: Library, found: Case): Promise<Row> {
  const builder = new GraphBuilder(standardOperators);
  const names = found.shapes.map((shape, i) => builder.input(`x${i}`, { dtype: 'float32', shape }));
  const [output] = builder.add(found.operator, names, found.attributes ?? {}, { outputs: 1 });
  const graph = builder.build('one node', [output!]);
  let made = 0;
  const kernels = kernelRuleOf(graph.nodes[0]!)!(graph.nodes[0]!, {
    backend: library.backend,
    typeOf: (value) => graph.types.get(value)!,
    constantOf: () => undefined,
    fresh: (hint) => `${hint}:${made++}`,
  });
  const naive: Kernel = { ...found.naive, inputs: names, output: output!, constants: {} };
  const inputs = found.shapes.map((shape) => noise(sizeOf(shape)));
  const contender = async (chosen: readonly Kernel[]) => {
    const sizes = new Map([
      ...names.map((name, i) => [name, inputs[i]!.length] as const),
      ...chosen.map(({ output: name, extents }) => [name, sizeOf(extents)] as const),
    ]);
    const chain = await library.compile({
      kernels: chosen,
      inputs: names,
      constants: new Map(),
      outputs: [output!],
      sizes,
    });
    const result = [new Float32Array(sizeOf(graph.types.get(output!)!.shape))];
    return { chain, seconds: [] as number[], run: () => chain.run(inputs, result) };
  };
  const [ours, plain] = [await contender(kernels), await contender([naive])];
  const session = await ort.InferenceSession.create(writeTypedGraph(graph), {
    executionProviders: ['cpu'],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
  });
  const feeds = Object.fromEntries(
    names.map((name, i) => [name, new ort.Tensor('float32', inputs[i]!, found.shapes[i])]),
  );
  const peer: Contender = { seconds: [], run: () => session.run(feeds) };
  const contenders: readonly Contender[] = [ours, plain, peer];
  for (let round = -1; round < Number(options.rounds); round++) {
    for (const each of contenders) {
      const start = performance.now();
      await each.run();
      if (round >= 0) each.seconds.push((performance.now() - start) / 1e3);
    }
  }
  await session.release();
  await ours.chain.dispose();
  await plain.chain.dispose();
  const rate = (seconds: number): number => found.flops / seconds / 1e9;
  return {
    backend: library.backend,
    name: found.name,
    launches: kernels.length,
    executor: ours.chain.executor,
    gigaflops: rate(median(ours.seconds)),
    slowest: rate(Math.max(...ours.seconds)),
    fastest: rate(Math.min(...ours.seconds)),
    overNaive: median(plain.seconds) / median(ours.seconds),
    ofOnnxRuntime: median(peer.seconds) / median(ours.seconds),
  };
}

const rows: Row[] = [];
const environment = {
  version,
  node: process.version,
  cpu: `${cpus()[0]!.model.trim()} x ${cpus().length}`,
  load: loadavg()[0]!,
  rounds: Number(options.rounds),
};
if (!options.json) {
  console.log(
    `dtrain ${version}, Node ${environment.node}, ${environment.cpu}, load ${environment.load.toFixed(1)}, ` +
      `one thread, median of ${environment.rounds} (slowest to fastest)\n`,
  );
  console.log('backend     launches  GFLOP/s                  over naive  of onnxruntime  what');
}
for (const backend of options.backends.split(',') as Backend[]) {
  const library = await Library.open(backend, 0, 1);
  const cases = CASES[backend === 'webgpu' || backend === 'webgl' ? 'small' : 'large'];
  for (const found of cases.filter(({ name }) => name.includes(options.only))) {
    const row = await measure(library, found);
    rows.push(row);
    if (options.json) continue;
    const spread = `(${row.slowest.toFixed(2)} to ${row.fastest.toFixed(2)})`;
    console.log(
      [
        row.backend.padEnd(11),
        String(row.launches).padEnd(9),
        `${row.gigaflops.toFixed(2).padStart(7)} ${spread.padEnd(17)}`,
        `${row.overNaive.toFixed(1)} x`.padStart(10),
        row.ofOnnxRuntime.toFixed(4).padStart(15),
        ` ${row.name} (${row.executor})`,
      ].join(' '),
    );
  }
  await library.dispose();
}
if (options.json) console.log(JSON.stringify({ environment, rows }));
process.exit(0);
