import { lowerQuartile, type Bytes, type Seconds } from '../../base/index.js';
import { byteLengthOf, isFloat, type TypedGraph } from '../../graph/index.js';
import {
  placeInOne,
  type BufferPlan,
  type ComputeThread,
  type SegmentTiming,
  type Slot,
  type ValueSpec,
} from '../engine/index.js';

/** Of float32 values: neither grows nor vanishes, and is no number that a processor takes longer for. */
const FILLING = 0.5;

/**
 * What a program takes on the device of a compute thread, rests of a throttled one included: it is compiled, run once
 * to warm up and up to `runs` times more, on values that lie in the thread and are the program's own.
 * @param over asked before each run but the first two
 * @returns the lower quartile: what else the host does only ever adds to them
 * @throws what compiling and running throw; nothing is left in the thread either way
 */
export async function timeProgram(
  thread: ComputeThread,
  graph: TypedGraph,
  runs: number,
  over: () => boolean,
): Promise<Seconds> {
  const { program, inputs, outputs } = await thread.compile(graph);
  try {
    const { bytes, slots } = placeInOne([...inputs, ...outputs]);
    const values = { bytes, inputs: slots.slice(0, inputs.length), outputs: slots.slice(inputs.length) };
    const buffer: BufferPlan = { bytes: values.bytes, kind: 'travelling' };
    const segment = { program, inputs: values.inputs, outputs: values.outputs, release: [] };
    const sequence = await thread.prepare({ buffers: [buffer], segments: [segment] });
    const key = thread.newKey();
    await thread.hold(key, filled(values, inputs));
    try {
      const times: Seconds[] = [];
      for (let run = 0; run <= runs && !(run > 1 && over()); run++) {
        const timings = await sequence.run([key], () => undefined);
        if (run > 0) times.push(timings.reduce((sum, timing) => sum + secondsOf(timing), 0));
      }
      return lowerQuartile(times);
    } finally {
      await sequence.dispose();
      await thread.take([key]);
    }
  } finally {
    await thread.disposeProgram(program);
  }
}

/** Whole numbers are zero: rows of tables and classes that are there, whatever the model. */
function filled(
  layout: { readonly bytes: Bytes; readonly inputs: readonly Slot[] },
  inputs: readonly ValueSpec[],
): ArrayBuffer {
  const buffer = new ArrayBuffer(layout.bytes);
  new Uint8Array(buffer).fill(0); // memory that nobody has written to is read faster than other
  inputs.forEach((spec, i) => {
    if (!isFloat(spec.dtype) || spec.dtype !== 'float32') return;
    new Float32Array(buffer, layout.inputs[i]!.byteOffset, byteLengthOf(spec) / 4).fill(FILLING);
  });
  return buffer;
}

function secondsOf({ computeSeconds, restSeconds }: SegmentTiming): Seconds {
  return computeSeconds + restSeconds;
}
