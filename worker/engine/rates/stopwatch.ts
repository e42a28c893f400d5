import { InvariantError, type Seconds } from '../../../base/index.js';
import { emptyData, sizeOf, type TypedGraph } from '../../../graph/index.js';
import type { Engine } from '../port.js';

/** Times of one program, with the size that it was made from. */
export interface Sampled<Size> {
  readonly size: Size;
  /** Ascending, at least three. */
  readonly seconds: readonly Seconds[];
}

/**
 * Times the program that fits the time: the first of `sizes` (ascending) of which a run takes a tenth of `seconds`, else
 * the last. Fast engines are measured on large work, slow ones still answer.
 */
export async function sampleLargest<Size>(
  engine: Engine,
  sizes: readonly Size[],
  graphOf: (size: Size) => TypedGraph,
  seconds: Seconds,
): Promise<Sampled<Size>> {
  for (const [i, size] of sizes.entries()) {
    const watch = await stopwatch(engine, graphOf(size));
    try {
      await watch.run(); // warm up: the first run of a program allocates
      const times = [await watch.run()];
      if (times[0]! < seconds / 10 && i + 1 < sizes.length) continue;
      for (let spent = times[0]!; spent < seconds || times.length < 3;) {
        const time = await watch.run();
        times.push(time);
        spent += time;
      }
      return { size, seconds: times.sort((a, b) => a - b) };
    } finally {
      await watch.dispose();
    }
  }
  throw new InvariantError('there is no size to measure');
}

/** Compiles a graph of float32 inputs, and fills those with numbers between 1/2 and 1. */
async function stopwatch(engine: Engine, graph: TypedGraph) {
  const program = await engine.compile(graph);
  const inputs = program.inputs.map(({ shape }, phase) =>
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => 0.75 + Math.sin(i + phase) / 4),
  );
  const outputs = program.outputs.map(({ dtype, shape }) => emptyData(dtype, sizeOf(shape)));
  return {
    run: async (): Promise<Seconds> => {
      const start = performance.now();
      await program.run(inputs, outputs);
      return (performance.now() - start) / 1000;
    },
    dispose: () => program.dispose(),
  };
}
