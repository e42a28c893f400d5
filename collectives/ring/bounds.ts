/** A half-open range of elements of a bucket: `start` belongs to it, `end` does not. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/**
 * The part of a bucket that a rank owns: chunk `rank` of `worldSize` nearly equal, contiguous chunks.
 *
 * In elements. The chunks of all ranks cover [0, length) exactly once, in rank order; two differ by at most
 * one element, the longer ones first. A rank owns nothing where the bucket has fewer elements than ranks.
 */
export function shardBounds(length: number, worldSize: number, rank: number): Range {
  return { start: shardStart(length, worldSize, rank), end: shardStart(length, worldSize, rank + 1) };
}

/** Where the chunk of `rank` starts, in elements; `rank === worldSize` gives the bucket's end. */
export function shardStart(length: number, worldSize: number, rank: number): number {
  const short = Math.floor(length / worldSize);
  const longer = length - short * worldSize;
  return rank * short + Math.min(rank, longer);
}

/** In how many pieces of at most `pieceElements` a chunk of `chunkElements` travels. None for an empty chunk. */
export function pieceCount(chunkElements: number, pieceElements: number): number {
  return Math.ceil(chunkElements / pieceElements);
}

/**
 * How long the pieces of a bucket's chunks are, in elements: short enough that a chunk is in several pieces
 * (so that receiving, reducing and forwarding overlap), at least `minimum` (a frame has a fixed cost) and at
 * most `maximum` (what the memory budget of the queues was computed for). Every rank computes the same.
 */
export function pieceLength(length: number, chunks: number, minimum: number, maximum: number): number {
  const PIECES_PER_CHUNK = 4;
  const wanted = Math.ceil(length / chunks / PIECES_PER_CHUNK);
  // Multiples of 16 elements keep every piece's start on a cache line when the chunk's start is on one.
  return Math.max(minimum, Math.min(maximum, Math.ceil(wanted / 16) * 16));
}
