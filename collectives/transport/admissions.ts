import type { Hello } from './handshake.js';

/** More edges than a plan gives two ranks, and few enough that a rank gone wrong cannot exhaust its peer. */
const MAX_EDGES_PER_PEER = 64;

/** Who has been let in, and for what: each purpose once, and no peer without bound. */
export class Admissions {
  private readonly purposes = new Map<number, Set<string>>();

  /** Lets the sender of a hello in. @returns why not; undefined when it is in now */
  admit({ from, purpose }: Pick<Hello, 'from' | 'purpose'>): string | undefined {
    const held = this.purposes.get(from) ?? new Set();
    if (held.has(purpose)) return `rank ${from} has already joined "${purpose}"`;
    if (held.size >= MAX_EDGES_PER_PEER)
      return `rank ${from} has ${held.size} edges here, which is as many as there may be`;
    held.add(purpose);
    this.purposes.set(from, held);
    return undefined;
  }

  /** The edge was not opened after all: its peer may try again. */
  forget({ from, purpose }: Pick<Hello, 'from' | 'purpose'>): void {
    this.purposes.get(from)?.delete(purpose);
  }
}
