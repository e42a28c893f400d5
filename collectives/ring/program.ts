import { shardStart } from './bounds.js';

export type CollectiveKind = 'reduce-scatter' | 'all-gather' | 'all-reduce' | 'broadcast';

/**
 * What one rank does in one collective, as arithmetic over steps: in step `s` it sends one chunk to the rank
 * on its right (`rank + 1`) and receives one from its left (`rank - 1`), both modulo the world size.
 *
 * Pairing: what a rank sends in step `s` is what its right neighbour receives in step `s`. The chunk of send
 * step `s` is the one received in step `s - lag` (for `s >= lag`), so piece `p` of it may leave as soon as
 * piece `p` has arrived; send steps before `lag` hold the rank's own values and may leave at once.
 */
export interface RingProgram {
  readonly kind: CollectiveKind;
  /** Into how many chunks the bucket is cut. */
  readonly chunks: number;
  readonly sendSteps: number;
  readonly receiveSteps: number;
  readonly lag: number;
  chunkSent(step: number): number;
  chunkReceived(step: number): number;
  /** Whether what is received in `step` is added to the chunk; otherwise it replaces the chunk. */
  reduces(step: number): boolean;
  /** Whether what is sent in `step` is the chunk's final value (so that its wire rounding applies to the sender too). */
  final(step: number): boolean;
}

export function leftOf(rank: number, worldSize: number): number {
  return modulo(rank - 1, worldSize);
}

export function rightOf(rank: number, worldSize: number): number {
  return modulo(rank + 1, worldSize);
}

/**
 * Reduce-scatter: P - 1 steps; a partial sum of chunk `c` starts at rank `c + 1`, passes every rank in ring
 * order, each adding its own, and ends at rank `c`, its owner.
 * With P ranks and S bytes, every rank sends and receives S (P - 1) / P bytes.
 * Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009.
 */
export function reduceScatterProgram(rank: number, worldSize: number): RingProgram {
  return {
    kind: 'reduce-scatter',
    chunks: worldSize,
    sendSteps: worldSize - 1,
    receiveSteps: worldSize - 1,
    lag: 1,
    chunkSent: (step) => modulo(rank - 1 - step, worldSize),
    chunkReceived: (step) => modulo(rank - 2 - step, worldSize),
    reduces: () => true,
    final: () => false,
  };
}

/** All-gather: P - 1 steps; chunk `c` starts at its owner, rank `c`. S (P - 1) / P bytes sent and received. */
export function allGatherProgram(rank: number, worldSize: number): RingProgram {
  return {
    kind: 'all-gather',
    chunks: worldSize,
    sendSteps: worldSize - 1,
    receiveSteps: worldSize - 1,
    lag: 1,
    chunkSent: (step) => modulo(rank - step, worldSize),
    chunkReceived: (step) => modulo(rank - 1 - step, worldSize),
    reduces: () => false,
    final: () => true,
  };
}

/** All-reduce: a reduce-scatter and an all-gather without a pause between them. 2 (P - 1) steps, 2 S (P - 1) / P bytes. */
export function allReduceProgram(rank: number, worldSize: number): RingProgram {
  const half = worldSize - 1;
  // The all-gather's own chunk, sent first, is the one that the reduce-scatter's last step completed: one walk
  // backwards around the ring serves both halves.
  return {
    kind: 'all-reduce',
    chunks: worldSize,
    sendSteps: 2 * half,
    receiveSteps: 2 * half,
    lag: 1,
    chunkSent: (step) => modulo(rank - 1 - step, worldSize),
    chunkReceived: (step) => modulo(rank - 2 - step, worldSize),
    reduces: (step) => step < half,
    final: (step) => step >= half,
  };
}

/**
 * Broadcast from `root`: the whole bucket is one chunk that every rank passes on piece by piece; the rank on
 * the root's left only receives. S bytes per link; P - 1 hops, pipelined over the pieces.
 */
export function broadcastProgram(rank: number, worldSize: number, root: number): RingProgram {
  const distance = modulo(rank - root, worldSize);
  return {
    kind: 'broadcast',
    chunks: 1,
    sendSteps: distance === worldSize - 1 ? 0 : 1,
    receiveSteps: distance === 0 ? 0 : 1,
    lag: distance === 0 ? 1 : 0,
    chunkSent: () => 0,
    chunkReceived: () => 0,
    reduces: () => false,
    final: () => true,
  };
}

/** How many elements chunk `chunk` of a bucket has in this program. */
export function chunkLength(program: RingProgram, length: number, chunk: number): number {
  return shardStart(length, program.chunks, chunk + 1) - shardStart(length, program.chunks, chunk);
}

function modulo(value: number, worldSize: number): number {
  return ((value % worldSize) + worldSize) % worldSize;
}
