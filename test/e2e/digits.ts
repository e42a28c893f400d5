import { gzipSync } from 'node:zlib';
import { Random } from '../../base/index.js';

const SIDE = 28;

export interface Digits {
  /** [count, 1, 28, 28], unsigned bytes. */
  readonly pixels: Uint8Array;
  readonly labels: Uint8Array;
  readonly count: number;
}

/** Ten classes that are easy to tell apart: class k is a bright square at the k-th place of a grid, in noise. */
export function makeDigits(count: number, seed: number): Digits {
  const random = new Random(seed);
  const pixels = new Uint8Array(count * SIDE * SIDE);
  const labels = Uint8Array.from({ length: count }, () => random.below(10));
  for (let i = 0; i < count; i++) {
    const [top, left] = [Math.floor(labels[i]! / 4) * 9, (labels[i]! % 4) * 7];
    for (let y = 0; y < SIDE; y++) {
      for (let x = 0; x < SIDE; x++) {
        const bright = y >= top && y < top + 8 && x >= left && x < left + 6;
        pixels[(i * SIDE + y) * SIDE + x] = random.below(bright ? 256 : 64);
      }
    }
  }
  return { pixels, labels, count };
}

/** The two files of an IDX dataset, gzipped as MNIST's are: big-endian sizes, then bytes. */
export function idxFiles({ pixels, labels, count }: Digits): { images: Buffer; labels: Buffer } {
  return {
    images: gzipSync(Buffer.concat([idxHeader([count, SIDE, SIDE]), pixels])),
    labels: gzipSync(Buffer.concat([idxHeader([count]), labels])),
  };
}

function idxHeader(sizes: readonly number[]): Buffer {
  const header = Buffer.alloc(4 + 4 * sizes.length);
  header.set([0, 0, 0x08, sizes.length]);
  sizes.forEach((size, i) => header.writeUInt32BE(size, 4 + 4 * i));
  return header;
}

/** The two files of a npy dataset: features in [0, 1) as float32, labels as int64. */
export function npyFiles({ pixels, labels, count }: Digits): { features: Buffer; labels: Buffer } {
  const features = Float32Array.from(pixels, (pixel) => pixel / 256);
  const classes = BigInt64Array.from(labels, (label) => BigInt(label));
  return {
    features: npy('<f4', [count, 1, SIDE, SIDE], features),
    labels: npy('<i8', [count], classes),
  };
}

/** @see https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, version 1.0 */
export function npy(descr: string, shape: readonly number[], data: Float32Array | BigInt64Array): Buffer {
  const tuple = shape.length === 1 ? `(${shape[0]!},)` : `(${shape.join(', ')})`;
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10;
  const header = Buffer.from(`\x93NUMPY\x01\x00..${text.padEnd(length - 1)}\n`, 'latin1');
  header.writeUInt16LE(length, 8);
  return Buffer.concat([header, Buffer.from(data.buffer, data.byteOffset, data.byteLength)]);
}
