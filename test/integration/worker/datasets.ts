import { Random, keyOf } from '../../../base/index.js';
import type { DatasetSpec } from '../../../data/index.js';
import { referenceTo } from '../../../protocol/index.js';
import type { Artifacts } from './plans.js';

/** An NPY file of version 1.0. */
function npy(descr: '<f4' | '<i8', shape: readonly number[], bytes: Uint8Array): Uint8Array {
  const dims = shape.map((dim) => `${dim},`).join(' ');
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${dims}), }`;
  const padded = header.padEnd(64 * Math.ceil((10 + header.length + 1) / 64) - 11) + '\n';
  const start = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, padded.length & 255, padded.length >> 8]);
  return Buffer.concat([start, Buffer.from(padded, 'latin1'), bytes]);
}

/** Random numbers of a shape and random classes, as NPY files. */
export function tensors(
  artifacts: Artifacts,
  rows: number,
  sampleShape: readonly number[],
  classes: number,
): DatasetSpec {
  const random = new Random(keyOf('tensors', rows));
  const size = sampleShape.reduce((product, dim) => product * dim, rows);
  const features = Float32Array.from({ length: size }, () => 2 * random.uniform() - 1);
  const target = BigInt64Array.from({ length: rows }, () => BigInt(random.below(classes)));
  const file = (bytes: Uint8Array) => referenceTo(artifacts.add(bytes));
  return {
    format: 'npy',
    features: file(npy('<f4', [rows, ...sampleShape], new Uint8Array(features.buffer))),
    target: file(npy('<i8', [rows], new Uint8Array(target.buffer))),
  };
}

/** As `tensors`, of a model with several inputs: an NPY file each. */
export function severalInputs(
  artifacts: Artifacts,
  rows: number,
  shapes: Readonly<Record<string, readonly number[]>>,
  classes: number,
): DatasetSpec {
  const random = new Random(keyOf('several inputs', rows));
  const file = (bytes: Uint8Array) => referenceTo(artifacts.add(bytes));
  const inputs = Object.entries(shapes).map(([name, shape]) => {
    const size = shape.reduce((product, dim) => product * dim, rows);
    const values = Float32Array.from({ length: size }, () => 2 * random.uniform() - 1);
    return [name, file(npy('<f4', [rows, ...shape], new Uint8Array(values.buffer)))] as const;
  });
  const target = BigInt64Array.from({ length: rows }, () => BigInt(random.below(classes)));
  return {
    format: 'npy',
    inputs: Object.fromEntries(inputs),
    target: file(npy('<i8', [rows], new Uint8Array(target.buffer))),
  };
}

/** Random text of 65 different characters, in so many windows of 16. */
export function text(artifacts: Artifacts, windows: number): DatasetSpec {
  const random = new Random(keyOf('text'));
  const letters = Array.from({ length: 65 }, (_, i) => String.fromCharCode(48 + i));
  const length = 16 * windows + 1 - letters.length;
  const body = [...letters, ...Array.from({ length }, () => letters[random.below(65)]!)].join('');
  return { format: 'text', path: referenceTo(artifacts.add(Buffer.from(body))), tokens: 'char', context: 16 };
}
