import { InvariantError, lowerQuartile, type Seconds } from '../../../base/index.js';
import { emptyData, sizeOf, type TypedGraph } from '../../../graph/index.js';
import type { Engine } from '../port.js';

/** A compiled program of some size on inputs of its own. */
export interface Stopwatch<Size> {
  readonly size: Size;
  /** What its last run took. */
  readonly once: Seconds;
  /** One run. */
  run(): Promise<Seconds>;
  dispose(): Promise<void>;
}

/**
 * The program that fits the time, warmed up: the first of `sizes` (ascending) of which a run takes `seconds`, else the
 * last. Fast engines are measured on large work, slow ones still answer.
 */
export async function largestWithin<Size>(
  engine: Engine,
  sizes: readonly Size[],
  graphOf: (size: Size) => TypedGraph,
  seconds: Seconds,
): Promise<Stopwatch<Size>> {
  for (const [i, size] of sizes.entries()) {
    const watch = await stopwatch(engine, graphOf(size));
    await watch.run(); // the first run of a program allocates
    const once = await watch.run();
    if (once >= seconds || i + 1 === sizes.length) return { ...watch, size, once };
    await watch.dispose();
  }
  throw new InvariantError('there is no size to measure');
}

/**
 * Times programs in turn, so that whatever else the host does for a while slows all of them and not one, until
 * `seconds` are spent, and each three times at least.
 * @returns for each the lower quartile of its times: others' work only ever adds to them
 */
export async function timeInTurn(
  watches: readonly Stopwatch<unknown>[],
  seconds: Seconds,
): Promise<readonly Seconds[]> {
  const times = watches.map(({ once }) => [once]);
  const longest = Math.max(...watches.map(({ once }) => once));
  for (let spent = 0, round = 1; spent < seconds || round < 3; round++) {
    for (const [i, watch] of watches.entries()) {
      // a short one several times, as long as the longest one takes
      for (let more = longest; more > 0; more -= watch.once) {
        const time = await watch.run();
        times[i]!.push(time);
        spent += time;
      }
    }
  }
  return times.map((of) => lowerQuartile(of));
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
