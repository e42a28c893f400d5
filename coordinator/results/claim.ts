import { timingSafeEqual } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { isAbsolute, join, normalize } from 'node:path';
import { sha256 } from '../../base/index.js';

/** The file by which a submitter proves that it may write a folder that the coordinator can reach. */
export const CLAIM_FILE = '.dtrain-claim';
const LONGEST_CLAIM = 1024;

export interface OutputClaim {
  readonly directory: string;
  readonly token: string;
}

/**
 * Whether the submitter and this process see the same folder and the submitter may write there: the folder is
 * absolute, and the claim file in it (a regular file, no link) holds the token.
 */
export async function claimHolds({ directory, token }: OutputClaim): Promise<boolean> {
  if (token === '' || !isAbsolute(directory) || normalize(directory) !== directory) return false;
  let file: FileHandle;
  try {
    file = await open(
      join(directory, CLAIM_FILE),
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    );
  } catch {
    return false; // another host, or another user
  }
  try {
    const about = await file.stat();
    if (!about.isFile() || about.size > LONGEST_CLAIM) return false;
    const found = await file.readFile('utf8');
    return timingSafeEqual(Buffer.from(sha256(found.trim())), Buffer.from(sha256(token)));
  } finally {
    await file.close();
  }
}

/** The claim is taken: its file goes. */
export function removeClaim({ directory }: OutputClaim): Promise<void> {
  return rm(join(directory, CLAIM_FILE), { force: true });
}
