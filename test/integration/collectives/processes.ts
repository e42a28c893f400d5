import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

interface Said {
  readonly address?: string;
  readonly running?: true;
  readonly done?: true;
  readonly fault?: string;
  readonly message?: string;
  readonly ids?: { readonly expectedRank?: number; readonly origin?: number };
}

/** A rank's process and what it has said. */
export class RankProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<void>;
  private readonly said: Said[] = [];
  private wake: () => void = () => undefined;

  constructor(t: Test, entry: string, settings: readonly (string | number)[]) {
    const path = fileURLToPath(new URL(entry, import.meta.url));
    this.child = fork(path, settings.map(String));
    t.teardown(() => this.child.kill('SIGKILL'));
    this.child.on('message', (message: Said) => {
      this.said.push(message);
      this.wake();
    });
    this.exited = new Promise((resolve) => this.child.once('exit', () => resolve()));
  }

  /** Waits for the first message that has this property. */
  async until(property: keyof Said): Promise<Said> {
    for (;;) {
      const found = this.said.find(
        (message) => message[property] !== undefined || message.fault !== undefined,
      );
      if (found) return found;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}

/** Starts the ranks of one membership, tells them where the others listen, and waits until all are at work. */
export async function start(
  t: Test,
  worldSize: number,
  local: string,
  length: number,
  deadline = 20,
  entry = './rank-process.js',
): Promise<RankProcess[]> {
  const ranks = Array.from(
    { length: worldSize },
    (_, rank) => new RankProcess(t, entry, [rank, worldSize, local, length, deadline]),
  );
  const addresses = await Promise.all(ranks.map(async (rank) => (await rank.until('address')).address!));
  for (const rank of ranks) rank.child.send(addresses);
  for (const rank of ranks) t.match(await rank.until('running'), { running: true });
  return ranks;
}
