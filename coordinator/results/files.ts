import { createWriteStream, type WriteStream } from 'node:fs';
import { copyFile, mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { finished } from 'node:stream/promises';
import { randomId } from '../../base/index.js';

/** Writes a whole file: whoever looks sees the old one or the new one, never a part. */
export async function writeWhole(path: string, bytes: Uint8Array | string): Promise<void> {
  await replace(path, async (part) => {
    const file = await open(part, 'wx');
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  });
}

export function writeJson(path: string, value: unknown): Promise<void> {
  return writeWhole(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** A copy, as whole as `writeWhole`. */
export function copyWhole(from: string, to: string): Promise<void> {
  return replace(to, (part) => copyFile(from, part));
}

/** Has `make` write a file beside `path`, then gives it that name. */
export async function replace(path: string, make: (part: string) => Promise<void>): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const part = join(dirname(path), `.${basename(path)}.${randomId('part')}`);
  try {
    await make(part);
    await rename(part, path);
  } finally {
    await rm(part, { force: true });
  }
}

/** A file that grows: chunks are written in order, as they come. */
export class GrowingFile {
  private readonly stream: WriteStream;
  private failure: Error | undefined;

  /**
   * Begins the file anew, or goes on with it.
   * @param written called after bytes have reached the file
   * @param failed called once when it cannot be written; later chunks are dropped
   */
  constructor(
    path: string,
    private readonly written: () => void,
    failed: (error: Error) => void,
    flags: 'w' | 'a' = 'w',
  ) {
    this.stream = createWriteStream(path, { flags });
    this.stream.on('error', (error) => {
      this.failure ??= error;
      failed(error);
    });
  }

  append(chunk: Uint8Array | string): void {
    if (this.failure || this.stream.writableEnded) return;
    this.stream.write(chunk, (error) => {
      if (!error) this.written();
    });
  }

  /** Resolves when all is in the file, or it has failed. */
  async close(): Promise<void> {
    if (!this.stream.writableEnded) this.stream.end();
    await finished(this.stream).catch(() => undefined); // told through `failed`
  }
}
