/**
 * Counter-based random numbers: a value is a pure function of (key, counter), so that any rank can draw
 * the number that belongs to a sample without drawing those before it.
 *
 * Based on the 32-bit finalizer of MurmurHash3, applied to the key and the counter in turn. Not for secrets.
 */
export function hash32(key: number, counter: number): number {
  let h = Math.imul(counter ^ 0x9e3779b9, 0x85ebca6b) ^ key;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  h ^= h >>> 16;
  h = Math.imul((h + key) | 0, 0xcc9e2d51);
  h = Math.imul(h ^ (h >>> 15), 0x1b873593);
  return (h ^ (h >>> 16)) >>> 0;
}

/** A key from several numbers or texts: the seed, the step, the node's index, ... */
export function keyOf(...parts: readonly (number | string)[]): number {
  let key = 0x2545f491;
  for (const part of parts) {
    if (typeof part === 'number') key = hash32(hash32(key, part | 0), Math.floor(part / 2 ** 32));
    else for (let i = 0; i < part.length; i++) key = hash32(key, part.charCodeAt(i));
  }
  return key >>> 0;
}

/** Uniform in [0, 1). */
export function uniformAt(key: number, counter: number): number {
  return hash32(key, counter) / 2 ** 32;
}

/** A sequential generator over the same hash. */
export class Random {
  private counter = 0;
  constructor(private readonly key: number) {}

  /** Uniform in [0, 1). */
  uniform(): number {
    return uniformAt(this.key, this.counter++);
  }

  /** Uniform integer in [0, n). */
  below(n: number): number {
    return Math.floor(this.uniform() * n);
  }

  /** Standard normal, by Box and Muller. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Shuffles in place (Fisher and Yates). */
  shuffle<T extends { length: number; [index: number]: number }>(items: T): T {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const held = items[i]!;
      items[i] = items[j]!;
      items[j] = held;
    }
    return items;
  }
}
