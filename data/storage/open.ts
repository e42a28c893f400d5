import {
  closeSync,
  createReadStream,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  type Stats,
} from 'node:fs';
import type { Readable } from 'node:stream';
import { formatBytes } from '../../base/index.js';
import { DataError } from '../errors.js';
import { cappedGunzip, gunzipWhole } from './gzip.js';
import { FileSource, MemorySource, type ByteSource } from './source.js';

/** A file on this machine, and the name that messages give it (what the user wrote). */
export interface LocalFile {
  readonly path: string;
  readonly name: string;
}

export interface StorageLimits {
  /** A file larger than this is read where it lies, row by row; smaller ones are held in memory. */
  readonly holdBytes: number;
  /** The most that one file may take which must be held whole: compressed (a bomb stops here), csv, text, npz. */
  readonly memoryBytes: number;
}

export const defaultLimits: StorageLimits = { holdBytes: 2 ** 28, memoryBytes: 2 ** 31 - 1 };

const GZIP_MAGIC = [0x1f, 0x8b] as const;

/**
 * Opens a file for random access. A gzipped one (told by its first bytes, not its name) is inflated in memory.
 * @throws DataError `data_unreadable`, `data_empty`, `data_truncated`, `data_too_large`
 */
export async function openBytes(file: LocalFile, limits: StorageLimits): Promise<ByteSource> {
  const { descriptor, size, gzipped } = openChecked(file);
  let keep = false;
  try {
    if (gzipped) return new MemorySource(file.name, await gunzipWhole(file, size, limits.memoryBytes));
    if (size <= limits.holdBytes) return new MemorySource(file.name, ownMemory(readFileSync(descriptor)));
    keep = true;
    return new FileSource(file.name, descriptor, size);
  } finally {
    if (!keep) closeSync(descriptor);
  }
}

/**
 * Opens a file that has to be held in memory whole.
 * @throws DataError as `openBytes`, and `data_too_large` with the remedy above `limits.memoryBytes`
 */
export async function openHeld(file: LocalFile, limits: StorageLimits, remedy: string): Promise<ByteSource> {
  const source = await openBytes(file, { ...limits, holdBytes: limits.memoryBytes });
  try {
    checkHeld(file.name, source.length, limits.memoryBytes, remedy);
  } finally {
    source.close(); // what is held stays held
  }
  return source;
}

/**
 * The file's content as a stream, inflated where it is gzipped.
 * @throws DataError as `openBytes`; the stream is destroyed with one when it turns out broken or too large
 */
export function openStream(file: LocalFile, limits: StorageLimits): Readable {
  const { descriptor, gzipped } = openChecked(file);
  const raw = createReadStream(file.path, { fd: descriptor, start: 0, autoClose: true });
  return gzipped ? cappedGunzip(raw, file, limits.memoryBytes) : raw;
}

function openChecked(file: LocalFile): { descriptor: number; size: number; gzipped: boolean } {
  let descriptor: number;
  try {
    descriptor = openSync(file.path, 'r');
  } catch (cause) {
    throw unreadable(file, cause);
  }
  try {
    const stats = fstatSync(descriptor);
    checkKind(file, stats);
    const head = new Uint8Array(2);
    const got = readSync(descriptor, head, 0, 2, 0);
    const gzipped = got === 2 && head[0] === GZIP_MAGIC[0] && head[1] === GZIP_MAGIC[1];
    return { descriptor, size: stats.size, gzipped };
  } catch (error) {
    closeSync(descriptor);
    throw error instanceof DataError ? error : unreadable(file, error);
  }
}

function checkKind(file: LocalFile, stats: Stats): void {
  if (!stats.isFile()) {
    const found = stats.isDirectory() ? 'a folder' : 'not a regular file';
    throw new DataError('data_unreadable', `${file.name}: is ${found}; name a file`, {
      file: file.name,
      found,
    });
  }
  if (stats.size === 0) {
    throw new DataError('data_empty', `${file.name}: the file is empty`, { file: file.name, found: 0 });
  }
}

function unreadable(file: LocalFile, cause: unknown): DataError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  const reason =
    code === 'ENOENT'
      ? 'there is no such file'
      : code === 'EACCES'
        ? 'this user may not read it'
        : `cannot be read (${code})`;
  return new DataError('data_unreadable', `${file.name}: ${reason}`, { file: file.name, found: code }, cause);
}

/** A copy outside Node's pool where the bytes share one, so that what is held is what is counted. */
function ownMemory(bytes: Buffer): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : Uint8Array.from(bytes);
}

/** @throws DataError `data_too_large` when `size` bytes may not be held */
export function checkHeld(name: string, size: number, limit: number, remedy: string): void {
  if (size <= limit) return;
  throw new DataError(
    'data_too_large',
    `${name}: ${formatBytes(size)} would have to be held in memory, the limit is ${formatBytes(limit)}; ${remedy}`,
    { file: name, found: size, accepted: limit },
  );
}
