import { randomBytes } from 'node:crypto';
import { mkdir, realpath, rmdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Submission } from '../../protocol/index.js';
import { OutputFolderError } from '../errors.js';

/** The file whose content proves that who submits may write the folder: docs/outputs.md. */
export const CLAIM_FILE = '.dtrain-claim';

export interface OutputClaim {
  readonly proof: NonNullable<Submission['outputClaim']>;
  /** Removes the claim, and the folders that it made as far as they are empty: nothing was submitted. */
  withdraw(): Promise<void>;
}

/**
 * Makes the output folder and writes the claim into it, readable by this user alone.
 * @throws OutputFolderError when the folder cannot be made or written
 */
export async function claimOutput(folder: string, output: string): Promise<OutputClaim> {
  const directory = resolve(folder, output);
  try {
    const firstMade = await mkdir(directory, { recursive: true });
    const real = await realpath(directory);
    const token = randomBytes(24).toString('hex');
    const file = join(real, CLAIM_FILE);
    await writeFile(file, token, { mode: 0o600 });
    return {
      proof: { directory: real, token },
      withdraw: async () => {
        await rm(file, { force: true });
        if (firstMade !== undefined) await removeEmpty(directory, dirname(firstMade));
      },
    };
  } catch (error) {
    throw new OutputFolderError(directory, error);
  }
}

/** Removes `directory` and the folders around it up to (not with) `stop`, as long as they are empty. */
async function removeEmpty(directory: string, stop: string): Promise<void> {
  for (let at = directory; at !== stop && at.startsWith(stop); at = dirname(at)) {
    try {
      await rmdir(at);
    } catch {
      return; // somebody has put something there
    }
  }
}
