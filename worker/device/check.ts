import {
  byteLengthOf,
  buildTrainingGraph,
  dataFromBytes,
  type Graph,
  type TensorType,
  type TypedGraph,
} from '../../graph/index.js';
import { createEngine, placeInOne, type ComputeThread, type ValueSpec } from '../engine/index.js';
import { DeviceProbeError } from '../errors.js';

/** Relative distance (L2) up to which a value counts as right: float32, with some room for how GPUs divide. */
const TOLERANCE = 1e-3;
const SAMPLES = 4;
const FEATURES = 6;
const HIDDEN = 8;
const CLASSES = 3;

/**
 * One training step of two layers on a device, with loss and gradients, beside the float64 reference: a device that
 * computes nonsense never joins.
 * @throws DeviceProbeError naming the value that is off; whatever the engine throws
 */
export async function checkTraining(thread: ComputeThread): Promise<void> {
  const graph = twoLayers();
  const reference = await createEngine('reference');
  const right = await reference.compile(graph);
  const inputs = right.inputs.map((spec, i) => ({ spec, data: valuesOf(spec, i) }));
  const wanted = right.outputs.map((spec) => empty(spec));
  await right.run(
    inputs.map(({ data }) => data),
    wanted,
  );
  await reference.dispose();

  const { program, inputs: ins, outputs: outs } = await thread.compile(graph);
  const places = placeInOne([...ins, ...outs]);
  const sequence = await thread.prepare({
    buffers: [{ bytes: places.bytes, kind: 'travelling' }],
    segments: [
      {
        program,
        inputs: places.slots.slice(0, ins.length),
        outputs: places.slots.slice(ins.length),
        release: [0],
      },
    ],
  });
  const buffer = new ArrayBuffer(places.bytes);
  ins.forEach((spec, i) => {
    const given = inputs.find((each) => each.spec.name === spec.name)!.data;
    new Uint8Array(buffer, places.slots[i]!.byteOffset).set(bytesOf(given));
  });
  let back: ArrayBuffer | undefined;
  await sequence.run([buffer], (_, [returned]) => (back = returned?.buffer));
  outs.forEach((spec, i) => {
    const { byteOffset } = places.slots[ins.length + i]!;
    const data = dataFromBytes(spec.dtype, new Uint8Array(back!, byteOffset, byteLengthOf(spec)));
    const error = distance(data, wanted[i]!);
    if (error <= TOLERANCE) return;
    throw new DeviceProbeError(
      `it computes wrong: "${right.outputs[i]!.name}" of a small training step is off by ${error.toExponential(1)} (relative)`,
    );
  });
  await sequence.dispose();
  await thread.disposeProgram(program);
}

/** Loss and gradients of two linear layers with a Relu between them. */
function twoLayers(): TypedGraph {
  const float32 = (...shape: number[]): TensorType => ({ dtype: 'float32', shape });
  const parameters = Object.entries({
    w1: float32(FEATURES, HIDDEN),
    b1: float32(HIDDEN),
    w2: float32(HIDDEN, CLASSES),
    b2: float32(CLASSES),
  }).map(([name, type], i) => [name, { ...type, data: valuesOf({ name, ...type }, i) }] as const);
  const node = (operator: string, inputs: readonly string[], output: string) => {
    return { name: output, operator, domain: '', inputs, outputs: [output], attributes: {} };
  };
  const graph: Graph = {
    name: 'a small training step',
    inputs: [{ name: 'x', dtype: 'float32', shape: ['batch', FEATURES] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: ['batch', CLASSES] }],
    nodes: [
      node('MatMul', ['x', 'w1'], 'h1'),
      node('Add', ['h1', 'b1'], 'h2'),
      node('Relu', ['h2'], 'h3'),
      node('MatMul', ['h3', 'w2'], 'h4'),
      node('Add', ['h4', 'b2'], 'y'),
    ],
    parameters: new Map(parameters),
    constants: new Map(),
  };
  const shapes = { x: [SAMPLES, FEATURES] };
  return buildTrainingGraph(graph, { loss: 'mse', shapes, targetShape: [SAMPLES, CLASSES] }).graph;
}

/** Numbers between -1 and 1, another row of them for each value; a scale is 1. */
function valuesOf({ shape }: ValueSpec, phase: number): Float32Array {
  const size = shape.reduce((product, dim) => product * dim, 1);
  return Float32Array.from({ length: size }, (_, i) => (size === 1 ? 1 : Math.sin(1.7 * i + phase)));
}

function empty({ shape }: ValueSpec): Float32Array {
  return new Float32Array(shape.reduce((product, dim) => product * dim, 1));
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function distance(ours: ArrayLike<number | bigint>, wanted: ArrayLike<number>): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < wanted.length; i++) {
    difference += (Number(ours[i]) - wanted[i]!) ** 2;
    size += wanted[i]! ** 2;
  }
  return Math.sqrt(difference) / (Math.sqrt(size) + 1e-8);
}
