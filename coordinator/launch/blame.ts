import type { Failure, Rank } from './rank.js';

/** A rank says that another rank of its ring failed it. */
export interface Complaint {
  readonly rank: number;
  readonly error: Failure;
}

/** Where collectives put another rank: the one they waited for, the other end of an edge, who noticed first. */
const NAMING_KEYS = ['expectedRank', 'peer', 'origin'] as const;

/** What a ring says when the other end is at fault; anything else is the rank's own trouble. */
const RING_FAULTS: ReadonlySet<string> = new Set([
  'peer_lost',
  'peer_left',
  'edge_closed',
  'handshake_timeout',
  'aborted',
]);

/** Whether a rank's failure may have its cause on another rank. Collectives put the rank they waited for in `ids`. */
export function isComplaint({ family, code, ids }: Failure): boolean {
  return family === 'peer' && (RING_FAULTS.has(code) || NAMING_KEYS.some((key) => key in ids));
}

/**
 * Who is to blame when ranks complain about each other and no other cause showed: the rank that most complaints
 * name, one that did not complain itself before one that did; where none is named, a rank that did not complain;
 * else the first complainer. Pure.
 * @returns the first complaint that names the suspect (else the first of all), with the suspect's device
 */
export function suspectOf(ranks: readonly Rank[], complaints: readonly [Complaint, ...Complaint[]]): Failure {
  const complainers = new Set(complaints.map((complaint) => complaint.rank));
  const votes = new Map<number, number>();
  for (const { rank, error } of complaints) {
    const named = namedRank(error, ranks);
    if (named !== undefined && named !== rank) votes.set(named, (votes.get(named) ?? 0) + 1);
  }
  const [elected] = [...votes].sort(
    ([a, x], [b, y]) => y - x || Number(complainers.has(a)) - Number(complainers.has(b)) || a - b,
  );
  const silent = ranks.findIndex((rank, i) => rank.status === 'active' && !complainers.has(i));
  const [first] = complaints;
  const suspect = elected?.[0] ?? (silent >= 0 ? silent : first.rank);
  const told = complaints.find(({ error }) => namedRank(error, ranks) === suspect) ?? first;
  const { device } = ranks[suspect]!;
  const { code, message, ids } = told.error;
  return {
    family: 'peer',
    code,
    message:
      suspect === told.rank
        ? `${device}: ${message}`
        : `${device} does not answer its peers: ${ranks[told.rank]!.device} reports "${message}"`,
    ids: { ...ids, device, rank: suspect },
    device,
  };
}

function namedRank({ ids }: Failure, ranks: readonly Rank[]): number | undefined {
  const named = ids['expectedRank'] ?? ids['peer'];
  return typeof named === 'number' && ranks[named] ? named : undefined;
}
