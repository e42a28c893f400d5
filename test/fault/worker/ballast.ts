/**
 * Loaded into executors (NODE_OPTIONS): each launch takes a file `NAME` out of the folder BALLAST, and as many MiB of
 * memory as it says, which no plan knows of. Where there is none left, executors are what they are.
 */
import { readdirSync, readFileSync, rmSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';

const folder = process.env['BALLAST'];
const held: Buffer[] = [];

if (isMainThread && process.send && folder !== undefined && process.argv[1]?.endsWith('executor/main.js')) {
  process.on('message', (message: { readonly kind?: string }) => {
    const [name] =
      message.kind === 'launch'
        ? readdirSync(folder)
            .filter((each) => !each.endsWith('.taken'))
            .sort()
        : [];
    if (name === undefined) return;
    const mebibytes = taken(join(folder, name));
    held.push(Buffer.alloc(mebibytes * 2 ** 20, 1)); // written to, so that it is resident
  });
}

/** What a file says, for the one that takes it: executors are launched at once. */
function taken(path: string): number {
  const mine = `${path}.${process.pid}.taken`;
  try {
    renameSync(path, mine);
    return Number(readFileSync(mine, 'utf8'));
  } catch {
    return 0; // another was first
  } finally {
    rmSync(mine, { force: true });
  }
}
