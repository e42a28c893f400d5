import { createHash } from 'node:crypto';
import { CollectiveUsageError } from '../errors.js';
import { leftOf, rightOf } from '../ring/program.js';
import { WORLD_RING, type Member } from '../transport/transport.js';

/** Some ranks of a membership that form a ring of their own: the replicas of a stage, the holders of a tied parameter. */
export interface RankGroup {
  /** Tells the rings of a membership apart; the same on every member. */
  readonly name: string;
  /** Ranks of the membership in the order of the ring, the same on every member: the first is the group's rank 0. */
  readonly ranks: readonly number[];
}

/** A member's place in a ring. */
export interface RingPlace {
  /** Position in the ring, and how many are in it. */
  readonly rank: number;
  readonly size: number;
  /** Neighbours, as ranks of the membership. */
  readonly left: number;
  readonly right: number;
  /** What the ring's edges are for. Members that disagree about the group do not find each other under it. */
  readonly purpose: string;
  /** As in errors. */
  readonly title: string;
}

/** @throws CollectiveUsageError for a group that cannot be, or that `member` is not in */
export function placeIn(member: Member, group: RankGroup | undefined): RingPlace {
  const { rank, worldSize } = member;
  if (group === undefined) {
    const [left, right] = [leftOf(rank, worldSize), rightOf(rank, worldSize)];
    return { rank, size: worldSize, left, right, purpose: WORLD_RING, title: 'the ring' };
  }
  const { name, ranks } = group;
  const ids = { ...member, group: name };
  for (const [at, one] of ranks.entries()) {
    if (!Number.isInteger(one) || one < 0 || one >= worldSize)
      throw new CollectiveUsageError(`group "${name}": there is no rank ${one} of ${worldSize}`, ids);
    if (ranks.indexOf(one) !== at)
      throw new CollectiveUsageError(`group "${name}" names rank ${one} twice`, ids);
  }
  const position = ranks.indexOf(rank);
  if (position < 0) {
    const what = `rank ${rank} is not in group "${name}" (ranks ${ranks.join(', ')})`;
    throw new CollectiveUsageError(what, ids);
  }
  const size = ranks.length;
  const digest = createHash('sha256').update(ranks.join()).digest('hex').slice(0, 8);
  return {
    rank: position,
    size,
    left: ranks[leftOf(position, size)]!,
    right: ranks[rightOf(position, size)]!,
    purpose: `ring ${name} of ${size} ranks, ${digest}`,
    title: `the ring "${name}"`,
  };
}
