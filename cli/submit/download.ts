import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { DtrainError } from '../../base/index.js';
import type { RestClient } from '../client/rest.js';
import { ConnectionLostError, NotACoordinatorError } from '../errors.js';

/**
 * Fetches all files of a job's output into `directory`. A file appears under its name only when it is whole.
 * @returns the names, relative to `directory`
 * @throws NotACoordinatorError for a name that leads out of the folder
 */
export async function downloadOutput(
  client: RestClient,
  id: string,
  directory: string,
): Promise<readonly string[]> {
  const { files } = await client.output(id);
  for (const { path } of files) {
    const target = resolve(directory, path);
    if (!target.startsWith(resolve(directory) + sep)) {
      throw new NotACoordinatorError(client.url, `it names an output file outside the folder: ${path}`);
    }
    await mkdir(dirname(target), { recursive: true });
    const partial = `${target}.part`;
    try {
      await pipeline(await client.outputFile(id, path), createWriteStream(partial));
      await rename(partial, target);
    } catch (error) {
      await rm(partial, { force: true });
      if (error instanceof DtrainError || isFileError(error)) throw error;
      throw new ConnectionLostError(client.url, `fetching ${path} of ${id}`, error);
    }
  }
  return files.map(({ path }) => join(directory, path));
}

/** A failure of this host's disk, not of the connection. */
function isFileError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && 'path' in error;
}
