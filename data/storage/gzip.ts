import { closeSync, createReadStream, openSync, readSync } from 'node:fs';
import { Transform, pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { formatBytes } from '../../base/index.js';
import { DataError } from '../errors.js';

interface Compressed {
  readonly path: string;
  readonly name: string;
}

/** Deflate cannot do better than this: a length beyond it is a lie. */
const BEST_RATIO = 1032;

/**
 * Inflates a whole gzip file (RFC 1952; several members are joined).
 *
 * Memory: the result, and while it grows at most as much again. The last four bytes of the file announce the length
 * (modulo 2^32), so it does not grow when they are right; they are not trusted beyond what deflate can do.
 * @throws DataError `data_truncated` broken or cut, `data_too_large` more than `limit` bytes
 */
export async function gunzipWhole(
  file: Compressed,
  compressedBytes: number,
  limit: number,
): Promise<Uint8Array> {
  const announced = announcedLength(file.path, compressedBytes);
  let held = new Uint8Array(Math.min(announced, compressedBytes * BEST_RATIO, limit));
  let length = 0;
  for await (const piece of cappedGunzip(createReadStream(file.path), file, limit)) {
    const chunk = piece as Uint8Array;
    if (length + chunk.byteLength > held.byteLength) {
      const grown = new Uint8Array(Math.min(limit, Math.max(2 * held.byteLength, length + chunk.byteLength)));
      grown.set(held.subarray(0, length));
      held = grown;
    }
    held.set(chunk, length);
    length += chunk.byteLength;
  }
  if (length === 0) {
    throw new DataError('data_empty', `${file.name}: nothing is in the compressed file`, {
      file: file.name,
      found: 0,
    });
  }
  return length === held.byteLength ? held : held.slice(0, length);
}

/** `raw` inflated; the stream fails with a DataError when it is broken or inflates to more than `limit` bytes. */
export function cappedGunzip(raw: Readable, file: Compressed, limit: number): Readable {
  let length = 0;
  const cap = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      length += chunk.byteLength;
      if (length > limit) done(tooLarge(file, limit));
      else done(null, chunk);
    },
  });
  const gunzip = createGunzip();
  // zlib's own words reach the reader as a DataError; pipeline destroys every part with the first error
  gunzip.on('error', (cause) => cap.destroy(broken(file, cause)));
  pipeline(raw, gunzip, cap, () => undefined);
  return cap;
}

function announcedLength(path: string, compressedBytes: number): number {
  const descriptor = openSync(path, 'r');
  try {
    const tail = new DataView(new ArrayBuffer(4));
    readSync(descriptor, tail, 0, 4, Math.max(0, compressedBytes - 4));
    return tail.getUint32(0, true);
  } finally {
    closeSync(descriptor);
  }
}

function tooLarge(file: Compressed, limit: number): DataError {
  return new DataError(
    'data_too_large',
    `${file.name}: inflates to more than the limit of ${formatBytes(limit)}; give the file uncompressed`,
    { file: file.name, accepted: limit },
  );
}

function broken(file: Compressed, cause: Error): DataError {
  return new DataError(
    'data_truncated',
    `${file.name}: the gzip stream is cut short or damaged (${cause.message}); copy or download the file again`,
    { file: file.name, found: cause.message },
    cause,
  );
}
