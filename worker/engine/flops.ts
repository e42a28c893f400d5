import type { Flops, Seconds } from '../../base/index.js';
import type { TensorType, TypedGraph } from '../../graph/index.js';
import type { Engine } from './port.js';

/** The rate of a square matrix product, both factors given at run time. */
export interface FlopsMeasurement {
  /** Median over the runs, in FLOP/s; a product of size n counts 2 n^3. */
  readonly flops: Flops;
  readonly best: Flops;
  readonly worst: Flops;
  readonly size: number;
  readonly runs: number;
}

const LARGEST = 1024;
const SMALLEST = 64;

/** The graph of one product, float32[n,n] times float32[n,n]. */
export function productGraph(size: number): TypedGraph {
  const type: TensorType = { dtype: 'float32', shape: [size, size] };
  return {
    name: `product of size ${size}`,
    inputs: ['a', 'b'],
    outputs: ['c'],
    nodes: [
      { name: 'product', operator: 'MatMul', domain: '', inputs: ['a', 'b'], outputs: ['c'], attributes: {} },
    ],
    parameters: new Map(),
    constants: new Map(),
    types: new Map([
      ['a', type],
      ['b', type],
      ['c', type],
    ]),
  };
}

/**
 * Measures how fast the engine multiplies matrices. Without `size` it grows the product, up to 1024^3, until
 * one takes a tenth of the time allowed: fast engines are measured on the largest, slow ones still answer.
 * @param options.seconds roughly how long to measure, after one warm-up run; at least three runs are made
 */
export async function measureFlops(
  engine: Engine,
  options: { readonly size?: number; readonly seconds?: Seconds } = {},
): Promise<FlopsMeasurement> {
  const seconds = options.seconds ?? 0.2;
  let size = options.size ?? SMALLEST;
  for (;;) {
    const product = await prepareProduct(engine, size);
    try {
      await product.run(); // warm up: first run of a program allocates
      const once = await product.run();
      if (options.size === undefined && size < LARGEST && once < seconds / 10) {
        // 8 times the work with every doubling
        size = Math.min(LARGEST, size * 2 ** Math.max(1, Math.floor(Math.log2(seconds / 10 / once) / 3)));
        continue;
      }
      const times = [once];
      for (let spent = once; spent < seconds || times.length < 3;) {
        const time = await product.run();
        times.push(time);
        spent += time;
      }
      return summary(times, size);
    } finally {
      await product.dispose();
    }
  }
}

async function prepareProduct(engine: Engine, size: number) {
  const program = await engine.compile(productGraph(size));
  const fill = (phase: number) => Float32Array.from({ length: size * size }, (_, i) => Math.sin(i + phase));
  const inputs = [fill(0), fill(1)];
  const outputs = [new Float32Array(size * size)];
  return {
    run: async (): Promise<Seconds> => {
      const start = performance.now();
      await program.run(inputs, outputs);
      return (performance.now() - start) / 1000;
    },
    dispose: () => program.dispose(),
  };
}

function summary(times: number[], size: number): FlopsMeasurement {
  times.sort((a, b) => a - b);
  const rate = (time: number) => (2 * size ** 3) / time;
  return {
    flops: rate(times[times.length >> 1]!),
    best: rate(times[0]!),
    worst: rate(times[times.length - 1]!),
    size,
    runs: times.length,
  };
}
