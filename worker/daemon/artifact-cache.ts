import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isSha256, randomId, type Sha256 } from '../../base/index.js';
import { ArtifactError } from '../errors.js';

/** Where artifacts come from: chunks of bytes by content hash. */
export type ArtifactSource = (sha256: Sha256) => AsyncIterable<Uint8Array>;

/**
 * The host's copies of models and data, by content hash: fetched once, however many executors ask.
 *
 * Guarantees: a file in the cache has the hash that names it (verified while it is written, renamed into
 * place only then); concurrent requests for one artifact share one transfer.
 */
export class ArtifactCache {
  private readonly underway = new Map<Sha256, Promise<string>>();

  constructor(private readonly directory: string) {}

  /** The path of an artifact, fetched if it is not there. @throws ArtifactError when the bytes do not match */
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
    if (await exists(path)) {
      // a copy may have been damaged on disk since it was written
      if ((await hashOfFile(path)) === sha256) {
        await utimes(path, new Date(), new Date());
        return path;
      }
      await rm(path, { force: true });
    }
    await mkdir(dirname(path), { recursive: true });
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
      await rename(partial, path);
    } finally {
      await rm(partial, { force: true });
    }
    return path;
  }
}

export async function hashOfFile(path: string): Promise<Sha256> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
