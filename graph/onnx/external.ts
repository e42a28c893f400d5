import { open, realpath, stat } from 'node:fs/promises';
import { isAbsolute, join, relative, sep } from 'node:path';
import { byteLengthOf } from '../ir/tensor.js';
import { modelError, type Place } from './fail.js';
import type { ModelProto, TensorProto } from './gen/onnx_pb.js';
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
  for (const tensor of allTensors(model)) {
    if (tensor.dataLocation !== EXTERNAL) continue;
    tensor.rawData = await readExternal(tensor, folder, place);
    tensor.externalData = [];
    delete tensor.dataLocation;
  }
}

/** Every tensor of the graph: initializers and attributes. */
function* allTensors(model: ModelProto): Generator<TensorProto> {
  yield* model.graph?.initializer ?? [];
  for (const node of model.graph?.node ?? []) {
    for (const attribute of node.attribute) {
      if (attribute.t) yield attribute.t;
      yield* attribute.tensors;
    }
  }
}

async function readExternal(tensor: TensorProto, folder: string, place: Place): Promise<Uint8Array> {
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
  const bytes = new Uint8Array(length);
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
