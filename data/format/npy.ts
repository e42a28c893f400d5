import { elementsOf, type Dataset } from '../dataset.js';
import { DataError } from '../errors.js';
import { shapeText } from '../fit.js';
import type { OpenRequest } from '../request.js';
import type { NpySpec, NpzSpec } from '../schema.js';
import { datasetOfArrays, type StoredArray } from '../storage/arrays.js';
import { elementBytes } from '../storage/elements.js';
import { checkHeld, openBytes, openHeld, type StorageLimits } from '../storage/open.js';
import { MemorySource, type ByteSource } from '../storage/source.js';
import { openAll } from '../storage/together.js';
import { readNpyHeader, type NpyHeader } from './npy-header.js';
import { readNpz, UNPACK } from './npz.js';

/**
 * Opens npy files, one for each input of the model and one for the target; the first axis of each is the samples.
 * Large C-order files are read where they lie; Fortran-order ones are brought to row-major order in memory.
 * @throws DataError
 */
export async function openNpy(spec: NpySpec, request: OpenRequest): Promise<Dataset> {
  const inputs = inputsOf(spec);
  const files = [...inputs.values(), spec.target].map((reference) => request.file(reference));
  return openAll(
    files.map((file) => () => openBytes(file, request.limits)),
    (sources) => datasetOfSources(spec, inputs, sources, request),
  );
}

/**
 * Opens an npz archive (a zip of npy files, stored or deflated): the arrays named are held in memory.
 * @throws DataError
 */
export async function openNpz(spec: NpzSpec, request: OpenRequest): Promise<Dataset> {
  const inputs = inputsOf(spec);
  const archive = await openHeld(request.file(spec.path), request.limits, UNPACK);
  const sources = readNpz(archive, [...inputs.values(), spec.target], request.limits.memoryBytes);
  return datasetOfSources(spec, inputs, sources, request);
}

/** Files or keys by the model's input name; '' for the single unnamed one. */
function inputsOf(spec: NpySpec | NpzSpec): Map<string, string> {
  const { format, features, inputs } = spec;
  if ((features === undefined) === (inputs === undefined)) {
    throw new DataError(
      'data_spec',
      `${format} data takes either features: (one array) or inputs: (one for each input)`,
    );
  }
  const found = features === undefined ? new Map(Object.entries(inputs ?? {})) : new Map([['', features]]);
  if (found.size > 1 && (spec.normalize !== undefined || spec.scale !== undefined)) {
    throw new DataError(
      'data_spec',
      `${format} data of several inputs cannot be normalized here; save it normalized`,
    );
  }
  return found;
}

/** @param sources those of the inputs in order, then that of the target */
function datasetOfSources(
  spec: NpySpec | NpzSpec,
  inputs: ReadonlyMap<string, string>,
  sources: readonly ByteSource[],
  request: OpenRequest,
): Dataset {
  const arrays = sources.map((source) => npyArray(source, request.limits));
  return datasetOfArrays(
    {
      inputs: new Map([...inputs.keys()].map((name, i) => [name, arrays[i]!])),
      target: arrays[inputs.size]!,
      scale: () => spec.scale ?? 1,
      normalize: spec.normalize,
      rows: spec.rows,
    },
    request,
  );
}

/**
 * The array in an npy file.
 * @throws DataError `data_truncated` when its length is not what the header announces, and as `readNpyHeader`
 */
export function npyArray(source: ByteSource, limits: StorageLimits): StoredArray {
  const header = readNpyHeader(source);
  const { kind, shape, firstByte, littleEndian } = header;
  const bytes = firstByte + elementsOf(shape) * elementBytes(kind);
  if (source.length !== bytes) {
    const problem = source.length < bytes ? 'is cut short' : 'has bytes after its end';
    throw new DataError(
      'data_truncated',
      `${source.name}: ${problem}; its header announces ${bytes} bytes ${shapeText(shape)}, found ${source.length}`,
      { file: source.name, found: source.length, accepted: bytes },
    );
  }
  if (header.fortranOrder && shape.length > 1) {
    return { source: rowMajor(source, header, limits), kind, littleEndian, firstByte: 0, shape };
  }
  return { source, kind, littleEndian, firstByte, shape };
}

/** A copy of a column-major array in row-major order; the original is closed. */
function rowMajor(source: ByteSource, header: NpyHeader, limits: StorageLimits): MemorySource {
  const { shape, firstByte } = header;
  const size = elementBytes(header.kind);
  const count = elementsOf(shape);
  checkHeld(
    source.name,
    count * size,
    limits.memoryBytes,
    'save it with numpy.ascontiguousarray to have it read in place',
  );
  const from = source.locate(firstByte, count * size);
  const out = new Uint8Array(count * size);
  const index = new Array<number>(shape.length).fill(0);
  const strides: number[] = [];
  shape.reduce((stride, dim) => (strides.push(stride), stride * dim), 1);
  let offset = 0; // of the current element in column-major order
  for (let to = 0; to < count; to++) {
    for (let b = 0; b < size; b++) out[to * size + b] = source.bytes[from + offset * size + b]!;
    // count up the row-major index, last axis first, moving the offset along
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      offset += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      offset -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  source.close();
  return new MemorySource(source.name, out);
}
