import type { Failure, Rank } from './machine.js';

/** A rank says that a peer of its ring failed it. */
export interface Complaint {
  readonly rank: number;
  readonly error: Failure;
}

/**
 * Who is to blame when ranks complain about each other and no other cause showed: the rank that most complaints
 * name; where they name none, a rank that did not complain itself; else the first complainer. Pure.
 * @returns the first complaint that names the suspect (else the first of all), with the suspect's device
 */
export function suspectOf(ranks: readonly Rank[], complaints: readonly Complaint[]): Failure {
  const votes = new Map<number, number>();
  for (const { rank, error } of complaints) {
    const named = namedRank(error, ranks);
    if (named !== undefined && named !== rank) votes.set(named, (votes.get(named) ?? 0) + 1);
  }
  const complainers = new Set(complaints.map((complaint) => complaint.rank));
  const silent = ranks.findIndex((rank, i) => rank.status === 'active' && !complainers.has(i));
  const byVotes = [...votes].sort(([a, x], [b, y]) => y - x || Number(complainers.has(a)) - Number(complainers.has(b)) || a - b);
  const first = complaints[0]!;
  const suspect = byVotes[0]?.[0] ?? (silent >= 0 ? silent : first.rank);
  const told = complaints.find(({ error }) => namedRank(error, ranks) === suspect) ?? first;
  const { device } = ranks[suspect]!;
  const accuser = ranks[told.rank]!.device;
  const message =
    suspect === told.rank
      ? `${device}: ${told.error.message}`
      : `${device} (rank ${suspect}) does not answer: ${accuser} reports "${told.error.message}"`;
  return { family: 'peer', code: told.error.code, message, ids: { ...told.error.ids, device, rank: suspect }, device };
}

/** The rank or device that a complaint names, where it names one of this launch. */
function namedRank({ ids }: Failure, ranks: readonly Rank[]): number | undefined {
  for (const key of ['peer', 'peerRank', 'suspect']) {
    const value = ids[key];
    if (typeof value === 'number' && ranks[value]) return value;
    const index = ranks.findIndex((rank) => rank.device === value);
    if (index >= 0) return index;
  }
  return undefined;
}
