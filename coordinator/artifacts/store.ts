import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isSha256, randomId, type Bytes, type Sha256 } from '../../base/index.js';
import { ArtifactHashError, ArtifactTooLargeError, HostError, RequestError } from '../errors.js';

/** Of one artifact. */
export const LARGEST_ARTIFACT: Bytes = 64 * 2 ** 30;

/**
 * Models, data and weights by content hash, as files `FOLDER/ab/abcd...`.
 *
 * Guarantees: a file has the hash that names it (verified while it was written, on disk before it was renamed into
 * place); memory used does not grow with its size; what was interrupted leaves nothing behind.
 */
export class ArtifactStore {
  private constructor(
    private readonly folder: string,
    private readonly partial: string,
    private readonly limit: Bytes,
  ) {}

  /** Makes the folder, and clears what an earlier process left half written. */
  static async open(folder: string, limit: Bytes = LARGEST_ARTIFACT): Promise<ArtifactStore> {
    const partial = join(folder, 'partial');
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial, { recursive: true });
    return new ArtifactStore(folder, partial, limit);
  }

  /** Where an artifact lies, or would. @throws RequestError `bad_hash` */
  path(sha256: Sha256): string {
    if (!isSha256(sha256)) {
      throw new RequestError('bad_hash', `"${sha256}" is not a SHA-256: 64 lower-case hexadecimal digits`);
    }
    return join(this.folder, sha256.slice(0, 2), sha256);
  }

  /** Its size, or undefined where it is not there. */
  async size(sha256: Sha256): Promise<Bytes | undefined> {
    try {
      const found = await stat(this.path(sha256));
      return found.isFile() ? found.size : undefined;
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  read(sha256: Sha256, chunkBytes: Bytes): Readable {
    return createReadStream(this.path(sha256), { highWaterMark: chunkBytes });
  }

  /**
   * Stores `bytes` under their hash. Reads them to the end even where the artifact is there already.
   * @returns how many there were
   * @throws ArtifactHashError, ArtifactTooLargeError, HostError `disk`; whatever `bytes` throws
   */
  async put(sha256: Sha256, bytes: AsyncIterable<Uint8Array>): Promise<Bytes> {
    const path = this.path(sha256);
    const part = join(this.partial, randomId('part'));
    const hash = createHash('sha256');
    let size = 0;
    const { limit } = this;
    const meter = new Transform({
      transform(chunk: Uint8Array, _encoding, done) {
        size += chunk.byteLength;
        hash.update(chunk);
        if (size > limit) done(new ArtifactTooLargeError(sha256, limit));
        else done(null, chunk);
      },
    });
    try {
      // flush: on disk before the name appears, so that a name always means whole bytes
      await pipeline(
        Readable.from(bytes, { objectMode: false }),
        meter,
        createWriteStream(part, { flush: true }),
      );
      const found = hash.digest('hex');
      if (found !== sha256) throw new ArtifactHashError(sha256, found);
      await mkdir(dirname(path), { recursive: true });
      await rename(part, path);
    } catch (error) {
      throw diskFull(error)
        ? new HostError('disk', `artifact ${sha256} was not stored: ${error.message}`, { cause: error })
        : error;
    } finally {
      await rm(part, { force: true });
    }
    return size;
  }
}

function diskFull(error: unknown): error is Error {
  return (
    error instanceof Error &&
    'code' in error &&
    ['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EIO'].includes(String(error.code))
  );
}
