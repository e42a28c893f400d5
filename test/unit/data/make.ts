import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import {
  allocateBatch,
  openDataset,
  type Dataset,
  type DatasetSpec,
  type OpenOptions,
} from '../../../data/index.js';

/** A folder of small data files made by code, removed with `remove`. */
export class DataFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'dtrain-data-'));

  write(name: string, content: Uint8Array | string): string {
    writeFileSync(join(this.path, name), content);
    return name;
  }

  gzip(name: string, content: Uint8Array | string): string {
    return this.write(name, gzipSync(content));
  }

  open(spec: DatasetSpec, options: Partial<OpenOptions> = {}): Promise<Dataset> {
    return openDataset(spec, { resolve: this.resolve, target: { kind: 'classes' }, ...options });
  }

  readonly resolve = (file: string) => ({ path: join(this.path, file), name: file });

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** An idx file: type 0x08 is unsigned bytes. */
export function idx(
  type: number,
  dims: readonly number[],
  elements: Uint8Array | readonly number[],
): Uint8Array {
  const header = new DataView(new ArrayBuffer(4 + 4 * dims.length));
  header.setUint8(2, type);
  header.setUint8(3, dims.length);
  dims.forEach((dim, i) => header.setUint32(4 + 4 * i, dim));
  return Buffer.concat([new Uint8Array(header.buffer), Uint8Array.from(elements)]);
}

export interface NpyOptions {
  readonly version?: 1 | 2 | 3;
  readonly fortran?: boolean;
  readonly header?: string;
}

/** An npy file as NumPy writes it: the header padded to a multiple of 64 bytes. */
export function npy(
  descr: string,
  shape: readonly number[],
  data: Uint8Array,
  options: NpyOptions = {},
): Uint8Array {
  const { version = 1, fortran = false } = options;
  const dims = shape.length === 1 ? `${shape[0]!},` : shape.join(', ');
  const dictionary =
    options.header ??
    `{'descr': '${descr}', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': (${dims}), }`;
  const prefix = version === 1 ? 10 : 12;
  const padded = dictionary.padEnd(Math.ceil((prefix + dictionary.length + 1) / 64) * 64 - prefix - 1) + '\n';
  const head = Buffer.alloc(prefix);
  head.write('\x93NUMPY', 'latin1');
  head[6] = version;
  if (version === 1) head.writeUInt16LE(padded.length, 8);
  else head.writeUInt32LE(padded.length, 8);
  return Buffer.concat([head, Buffer.from(padded, 'utf8'), data]);
}

export function bytesOf(array: NodeJS.TypedArray): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Samples as plain numbers, in the order asked for. */
export function samples(dataset: Dataset, rows: readonly number[]): { inputs: number[][]; target: number[] } {
  const batch = allocateBatch(dataset, rows.length);
  dataset.read(rows, 0, rows.length, batch);
  return {
    inputs: batch.inputs.map((input) => Array.from(input, Number)),
    target: Array.from(batch.target, Number),
  };
}

export function all(dataset: Dataset): { inputs: number[][]; target: number[] } {
  return samples(
    dataset,
    Array.from({ length: dataset.length }, (_, row) => row),
  );
}
