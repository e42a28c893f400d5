import { open, realpath, stat } from 'node:fs/promises';
import { isAbsolute, join, relative, sep } from 'node:path';
import { byteLengthOf } from '../ir/tensor.js';
import { modelError, type Place } from './fail.js';
import type { AttributeProto, ModelProto, NodeProto, TensorProto } from './gen/onnx_pb.js';
import { EXTERNAL, tensorType } from './tensor.js';

/**
 * Brings every tensor that lies in an external file into the model, in place; afterwards the model is one
 * piece. Only files inside the model's own folder are read: a model from elsewhere must not be able to carry
 * other files of this machine away.
 *
 * @param folder the model's folder, absolute
 * @throws ModelError for a location outside, a file that is not there or too short
 */
export async function inlineExternalData(model: ModelProto, folder: string, place: Place): Promise<void> {
  const regions: Regions = new Map();
  for (const tensor of allTensors(model)) {
    if (tensor.dataLocation !== EXTERNAL) continue;
    tensor.rawData = await readExternal(tensor, folder, regions, place);
    tensor.externalData = [];
    delete tensor.dataLocation;
  }
}

/** Every tensor of the model: initializers and attributes, those of functions and bodies too. */
function* allTensors({ graph, functions }: ModelProto): Generator<TensorProto> {
  if (graph) yield* tensorsOf(graph);
  for (const each of functions) {
    yield* tensorsOf(each);
    yield* attributeTensors(each.attributeProto);
  }
}

function* tensorsOf(graph: {
  readonly node: readonly NodeProto[];
  readonly initializer?: readonly TensorProto[];
}): Generator<TensorProto> {
  yield* graph.initializer ?? [];
  for (const node of graph.node) yield* attributeTensors(node.attribute);
}

function* attributeTensors(attributes: readonly AttributeProto[]): Generator<TensorProto> {
  for (const { t, tensors, g, graphs } of attributes) {
    if (t) yield t;
    yield* tensors;
    if (g) yield* tensorsOf(g);
    for (const each of graphs) yield* tensorsOf(each);
  }
}

/** What was read of each file: tensors of one region share its bytes. */
type Regions = Map<string, { bytes: number; readonly read: Map<string, Uint8Array> }>;

async function readExternal(
  tensor: TensorProto,
  folder: string,
  regions: Regions,
  place: Place,
): Promise<Uint8Array> {
  const what = `tensor "${tensor.name ?? ''}"`;
  const entries = new Map(tensor.externalData.map(({ key, value }) => [key ?? '', value ?? '']));
  const needed = byteLengthOf(tensorType(tensor, place));
  const offset = wholeNumber(entries.get('offset') ?? '0');
  const length = wholeNumber(entries.get('length') ?? String(needed));
  const location = entries.get('location') ?? '';
  if (offset === undefined || length === undefined) {
    throw modelError(place, `${what} has an external offset or length that is not a whole number`);
  }
  if (length !== needed) {
    throw modelError(place, `${what} needs ${needed} bytes; its entry for "${location}" holds ${length}`);
  }
  const path = await safePath(folder, location, what, place);
  const { size } = await stat(path);
  if (offset + length > size) {
    throw modelError(
      place,
      `${what} lies at bytes ${offset} to ${offset + length} of "${location}", which has ${size}: is the file complete?`,
    );
  }
  const known = regions.get(path) ?? { bytes: 0, read: new Map<string, Uint8Array>() };
  regions.set(path, known);
  const region = `${offset}:${length}`;
  const before = known.read.get(region);
  if (before) return before;
  known.bytes += length;
  if (known.bytes > size) {
    throw modelError(
      place,
      `${what} overlaps other tensors in "${location}"; regions that are the same or apart would be accepted`,
    );
  }
  const bytes = allocate(length, what, place);
  known.read.set(region, bytes);
  const file = await open(path, 'r');
  try {
    for (let at = 0; at < length;) {
      const { bytesRead } = await file.read(bytes, at, Math.min(length - at, 2 ** 30), offset + at);
      if (bytesRead === 0) throw modelError(place, `"${location}" became shorter while it was read`);
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
  return bytes;
}

/** @throws ModelError where this process cannot hold so much */
function allocate(length: number, what: string, place: Place): Uint8Array {
  try {
    return new Uint8Array(length);
  } catch (cause) {
    throw modelError(place, `${what} needs ${length} bytes, more than there is memory for`, cause);
  }
}

function wholeNumber(text: string): number | undefined {
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** The real path of an external file. @throws ModelError unless it is a plain file inside the folder */
async function safePath(folder: string, location: string, what: string, place: Place): Promise<string> {
  const steps = location.split(/[\\/]/);
  if (location === '' || isAbsolute(location) || /^[A-Za-z]:/.test(location) || steps.includes('..')) {
    throw modelError(
      place,
      `${what} lies in "${location}"; a file in the model's own folder, named by a relative path without "..", would be accepted`,
    );
  }
  const path = await realpath(join(folder, location)).catch((cause: unknown) => {
    throw modelError(place, `${what} lies in "${location}", which is not beside the model`, cause);
  });
  const inside = relative(await realpath(folder), path);
  if (inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside)) {
    throw modelError(place, `${what} lies in "${location}", a link that leads out of the model's folder`);
  }
  if (!(await stat(path)).isFile())
    throw modelError(place, `${what} lies in "${location}", which is not a plain file`);
  return path;
}
