import type { Seconds } from '../../base/index.js';
import type { ScheduleKind } from '../pipeline/index.js';
import type { Grain } from './grain.js';
import type { Choice, Slicing } from './stage.js';

/** A plan with what it was chosen by. */
export interface Candidate extends Grain {
  readonly seconds: Seconds;
  readonly kind: 'data-parallel' | ScheduleKind;
  readonly stagesPerRank: number;
  readonly slicing: Slicing;
  /** Of each pipeline rank, the first one first; their stages are ranges of the units of `model`. */
  readonly choices: readonly Choice[];
}

/** Plans of the same name compete; the best of each is shown. */
export function nameOf({ kind, choices }: Pick<Candidate, 'kind' | 'choices'>): string {
  const [first] = choices;
  if (kind !== 'data-parallel' || !first) return kind;
  return first.group.size === 1 ? `alone on ${first.group.devices[0]!.id}` : kind;
}

/** Plans whose predicted times differ by less are as fast as each other: the prediction is no better than that. */
export const TIE = 0.02;

/**
 * The candidates with the one to take first, the others by their time. Taken is the simplest of those that are at most 2 %
 * slower than the fastest: with fewer stages, fewer devices, fewer micro-batches, nothing computed again.
 */
export function inOrder(candidates: Iterable<Candidate>): readonly Candidate[] {
  const byTime = [...candidates].sort((a, b) => a.seconds - b.seconds);
  const [fastest] = byTime;
  if (!fastest) return [];
  const tied = byTime.filter(({ seconds }) => seconds <= fastest.seconds * (1 + TIE));
  const taken = tied.reduce((a, b) => (simpler(b, a) ? b : a));
  return [taken, ...byTime.filter((candidate) => candidate !== taken)];
}

function simpler(a: Candidate, b: Candidate): boolean {
  const [one, other] = [burdensOf(a), burdensOf(b)];
  const at = one.findIndex((burden, i) => burden !== other[i]);
  return at >= 0 && one[at]! < other[at]!;
}

/** What makes a plan less simple, the worst first. */
function burdensOf({ choices, stagesPerRank, slicing }: Candidate): readonly number[] {
  return [
    choices.length * stagesPerRank,
    choices.reduce((sum, { group }) => sum + group.size, 0),
    slicing.microBatches,
    choices.filter(({ keeping }) => keeping === 'recomputed').length,
  ];
}
