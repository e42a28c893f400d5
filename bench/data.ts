import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { keyOf, Random } from '../base/index.js';

/** Random text over so many different characters. @returns its path */
export function writeText(folder: string, name: string, characters: number, length: number): string {
  const random = new Random(keyOf(name));
  const letters = Array.from({ length: characters }, (_, i) => String.fromCharCode(48 + i));
  const text = [...letters, ...Array.from({ length }, () => letters[random.below(characters)]!)].join('');
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** Random images [3, side, side] of ten classes as NPY files. @returns their paths, as a data set has them */
export function writeImages(
  folder: string,
  side: number,
  rows: number,
): { features: string; target: string } {
  const random = new Random(keyOf('images', side));
  const values = Float32Array.from({ length: rows * 3 * side * side }, () => 2 * random.uniform() - 1);
  const classes = BigInt64Array.from({ length: rows }, () => BigInt(random.below(10)));
  const features = join(folder, `images-${side}.npy`);
  const target = join(folder, `classes-${side}.npy`);
  writeFileSync(features, npy('<f4', [rows, 3, side, side], values));
  writeFileSync(target, npy('<i8', [rows], classes));
  return { features, target };
}

/** An NPY file of version 1.0. */
function npy(
  descr: '<f4' | '<i8',
  shape: readonly number[],
  { buffer }: Float32Array | BigInt64Array,
): Uint8Array {
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.map((dim) => `${dim},`).join(' ')}), }`;
  const padded = `${header.padEnd(64 * Math.ceil((10 + header.length + 1) / 64) - 11)}\n`;
  const start = [0x93, ...Buffer.from('NUMPY'), 1, 0, padded.length & 255, padded.length >> 8];
  return Buffer.concat([Buffer.from(start), Buffer.from(padded, 'latin1'), new Uint8Array(buffer)]);
}
