import type { Backend } from '../kernel.js';
import { repeat } from './integers.js';

/** Terms that are added up one after the other before they join the total: sums of 10^5 keep a relative 1e-6. */
const BLOCK = 256;

/** How many terms a loop's body holds. */
const UNROLLED = 4;

export interface Terms {
  readonly count: number;
  /** Statements that add term `offset` from where the indices stand to the sums `s0`, `s1`, ... */
  add(offset: number): string;
  /** Statements that move the indices on by `count` terms. */
  advance(count: number): string;
}

/**
 * Statements that leave sums of `terms` in `s0` ... of `sums`. Float32 sums are made of blocks; JavaScript sums in
 * float64.
 */
export function accumulate(backend: Backend, sums: number, terms: Terms): string {
  const names = Array.from({ length: sums }, (_, i) => i);
  const all = (text: (i: number) => string): string => names.map(text).join(' ');
  const run = (counter: string, count: number): string => {
    const several = Array.from({ length: UNROLLED }, (_, u) => terms.add(u)).join(' ');
    const rest = Array.from({ length: count % UNROLLED }, (_, u) => terms.add(u)).join(' ');
    return [
      repeat(backend, counter, Math.floor(count / UNROLLED), `${several} ${terms.advance(UNROLLED)}`),
      rest,
      count % UNROLLED === 0 ? '' : terms.advance(count % UNROLLED),
    ].join('\n  ');
  };
  const declared = all((i) => `let s${i} = 0.0;`);
  if (backend === 'javascript' || terms.count <= 2 * BLOCK) return `${declared}\n  ${run('k', terms.count)}`;
  const [blocks, rest] = [Math.floor(terms.count / BLOCK), terms.count % BLOCK];
  const zero = all((i) => `s${i} = 0.0;`);
  const join = all((i) => `t${i} += s${i};`);
  return [
    `${declared} ${all((i) => `let t${i} = 0.0;`)}`,
    repeat(backend, 'block', blocks, `${zero}\n  ${run('k', BLOCK)}\n  ${join}`),
    rest === 0 ? '' : `${zero}\n  ${run('rest', rest)}\n  ${join}`,
    all((i) => `s${i} = t${i};`),
  ].join('\n  ');
}

/** The lanes' sums, one in each of four neighbouring cells: `this.thread.x` is the lane. */
export const FOUR_LANES =
  'this.thread.x === 0 ? s0 : (this.thread.x === 1 ? s1 : (this.thread.x === 2 ? s2 : s3))';
