import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, type Stats } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isSha256, randomId, type Sha256 } from '../../base/index.js';
import { ArtifactError, DiskError } from '../errors.js';

/** Where artifacts come from: chunks of bytes by content hash. */
export type ArtifactSource = (sha256: Sha256) => AsyncIterable<Uint8Array>;

/**
 * The host's copies of models and data, by content hash: fetched once, however many executors ask.
 *
 * Guarantees: a file in the cache has the hash that names it (verified while it is written, renamed into place
 * only then, and verified again whenever it has changed); concurrent requests for one artifact share one transfer.
 */
export class ArtifactCache {
  private readonly underway = new Map<Sha256, Promise<string>>();
  /** What the files looked like when their hash was last computed. */
  private readonly verified = new Map<Sha256, string>();

  constructor(private readonly directory: string) {}

  /**
   * The path of an artifact, fetched if it is not there.
   * @throws ArtifactError when the bytes do not match, DiskError, whatever `source` throws
   */
  get(sha256: Sha256, source: ArtifactSource): Promise<string> {
    let transfer = this.underway.get(sha256);
    if (!transfer) {
      transfer = this.findOrFetch(sha256, source).finally(() => this.underway.delete(sha256));
      this.underway.set(sha256, transfer);
    }
    return transfer;
  }

  private async findOrFetch(sha256: Sha256, source: ArtifactSource): Promise<string> {
    if (!isSha256(sha256)) throw new ArtifactError(`"${sha256}" is not a SHA-256 in lower-case hexadecimal`);
    const path = join(this.directory, sha256.slice(0, 2), sha256);
    if (await this.isSound(path, sha256)) return path;
    try {
      await rm(path, { force: true });
      await mkdir(dirname(path), { recursive: true });
    } catch (cause) {
      throw new DiskError('keeping an artifact in', path, cause);
    }
    await this.fetch(sha256, path, source);
    return path;
  }

  /** Whether a copy is there and holds what its name says. A file that has not changed since is not read again. */
  private async isSound(path: string, sha256: Sha256): Promise<boolean> {
    const found = await stat(path).catch(() => undefined);
    if (!found?.isFile()) return false;
    if (this.verified.get(sha256) === fingerprint(found)) return true;
    // a copy may have been damaged on disk since it was written
    if ((await hashOfFile(path)) !== sha256) return false;
    this.verified.set(sha256, fingerprint(found));
    return true;
  }

  private async fetch(sha256: Sha256, path: string, source: ArtifactSource): Promise<void> {
    const partial = `${path}.${randomId('part')}`;
    const hash = createHash('sha256');
    const tee = new Transform({
      transform(chunk: Uint8Array, _encoding, done) {
        hash.update(chunk);
        done(null, chunk);
      },
    });
    try {
      await pipeline(Readable.from(source(sha256)), tee, createWriteStream(partial));
      const found = hash.digest('hex');
      if (found !== sha256) {
        throw new ArtifactError(`artifact ${sha256} arrived with the hash ${found}; it was thrown away`, {
          retryable: true,
        });
      }
      this.verified.set(sha256, fingerprint(await stat(partial)));
      await rename(partial, path);
    } catch (error) {
      if (isDiskFailure(error)) throw new DiskError('keeping an artifact in', partial, error);
      throw error;
    } finally {
      await rm(partial, { force: true });
    }
  }
}

export async function hashOfFile(path: string): Promise<Sha256> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** Changes whenever somebody writes to the file; renaming it keeps it. */
function fingerprint({ ino, size, mtimeMs }: Stats): string {
  return `${ino} ${size} ${mtimeMs}`;
}

function isDiskFailure(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error;
}
