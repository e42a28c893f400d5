import type { Bytes } from '../../base/index.js';
import type { CollectiveKind } from './program.js';

/** What a collective costs a rank, before any device or link is known. */
export interface RingCost {
  /** Messages one after the other on the longest path: the factor of a link's latency. */
  readonly steps: number;
  /** Bytes that the busiest rank sends: the divisor of a link's bandwidth. */
  readonly sentBytes: Bytes;
  /** Elements that the busiest rank adds. */
  readonly reducedElements: number;
}

/**
 * Steps, bytes and additions of a ring collective, in P ranks, N elements and S = N x `bytesPerElement` bytes.
 *
 * | collective     | steps     | bytes sent by a rank | additions by a rank |
 * |----------------|-----------|----------------------|---------------------|
 * | reduce-scatter | P - 1     | S (P - 1) / P        | N (P - 1) / P       |
 * | all-gather     | P - 1     | S (P - 1) / P        | 0                   |
 * | all-reduce     | 2 (P - 1) | 2 S (P - 1) / P      | N (P - 1) / P       |
 * | broadcast      | P - 1     | S                    | 0                   |
 *
 * Exact where P divides N; else at most P elements off, since chunks differ by one element.
 */
export function ringCost(
  kind: CollectiveKind,
  worldSize: number,
  elements: number,
  bytesPerElement: Bytes,
): RingCost {
  const hops = worldSize - 1;
  const around = (elements * hops) / worldSize;
  switch (kind) {
    case 'reduce-scatter':
      return { steps: hops, sentBytes: around * bytesPerElement, reducedElements: around };
    case 'all-gather':
      return { steps: hops, sentBytes: around * bytesPerElement, reducedElements: 0 };
    case 'all-reduce':
      return { steps: 2 * hops, sentBytes: 2 * around * bytesPerElement, reducedElements: around };
    case 'broadcast':
      return { steps: hops, sentBytes: hops === 0 ? 0 : elements * bytesPerElement, reducedElements: 0 };
  }
}

/**
 * Bus bandwidth of an all-reduce in bytes per second: 2 (P - 1) / P x S / seconds, the rate at which every
 * link was used. It is comparable between rank counts, and with other libraries' figures.
 */
export function busBandwidth(worldSize: number, bytes: Bytes, seconds: number): number {
  return ((2 * (worldSize - 1)) / worldSize) * (bytes / seconds);
}
