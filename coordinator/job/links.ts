import { formatBytes, formatSeconds, type Bytes, type Seconds } from '../../base/index.js';
import { linkBetween, type Link, type Topology } from '../../scheduler/index.js';
import type { RankFlow, RankSummary } from './performance.js';

/** A link that takes messages so many times as long as foretold is another one than was measured. */
const FAR_SLOWER = 4;
/** What a link takes of a step before anybody minds that it is slow. */
const LEAST_SHARE = 0.1;
/** Of a message of so many bytes, what it took more than foretold is put down to bandwidth; of a shorter one, to latency. */
const LEAST_BYTES: Bytes = 64 * 2 ** 10;

/** How a run used a link from one device to another, beside what was known of it when the run was planned. */
export interface LinkUse {
  readonly from: string;
  readonly to: string;
  /** Their hosts. */
  readonly between: readonly [string, string];
  readonly bytesPerStep: Bytes;
  /** In which a message at least was on its way. */
  readonly secondsPerStep: Seconds;
  readonly planned: Link;
  /** Of one of the larger messages, less the latency that was planned with. */
  readonly measuredBytesPerSecond: number;
  /** What the link is to be counted with from now on, where it was far slower than measured and that cost time. */
  readonly corrected: Link | undefined;
}

interface Place {
  readonly device: string;
  readonly host: string;
}

/**
 * The links of a pipeline as its ranks found them. Pure.
 * @param ranks devices and hosts by rank
 * @param topology that the run was planned with
 */
export function linksUsed(
  ranks: readonly Place[],
  topology: Topology,
  summaries: readonly RankSummary[],
): readonly LinkUse[] {
  return summaries.flatMap(({ links = [], steps, medianStepSeconds }, rank) =>
    links.flatMap((flow): LinkUse[] => {
      const [from, to] = [ranks[rank], ranks[flow.toRank]];
      if (!from || !to || !isSound(flow) || steps === 0) return [];
      const planned = linkBetween(topology, from.host, to.host);
      const secondsPerStep = flow.seconds / steps;
      const costs = secondsPerStep > LEAST_SHARE * medianStepSeconds;
      return [
        {
          from: from.device,
          to: to.device,
          between: [from.host, to.host],
          bytesPerStep: flow.bytes / steps,
          secondsPerStep,
          planned,
          measuredBytesPerSecond: rateOf(flow, planned),
          corrected: costs ? correctionOf(flow, planned) : undefined,
        },
      ];
    }),
  );
}

/**
 * What is to be counted with from now on, by pair of hosts: of several links that share one the best, for that much it
 * can do at least.
 */
export function correctionsOf(links: readonly LinkUse[]): readonly {
  readonly between: LinkUse['between'];
  readonly link: Link;
  readonly use: LinkUse;
}[] {
  const best = new Map<string, { between: LinkUse['between']; link: Link; use: LinkUse }>();
  for (const use of links) {
    const { between, corrected: link } = use;
    const key = [...between].sort().join('\n');
    const known = best.get(key);
    if (!link || (known && known.use.measuredBytesPerSecond >= use.measuredBytesPerSecond)) continue;
    best.set(key, { between, link, use });
  }
  return [...best.values()];
}

/** For people: `link a/cpu:0 -> b/cpu:0: measured 2 MB/s, planned with 800 MB/s`. */
export function describeLink({ from, to, planned, measuredBytesPerSecond, secondsPerStep }: LinkUse): string {
  const [measured, foretold] = [measuredBytesPerSecond, planned.bandwidthBytesPerSecond].map(
    (rate) => `${formatBytes(rate)}/s`,
  );
  return `link ${from} -> ${to}: measured ${measured}, planned with ${foretold}; messages were on it for ${formatSeconds(secondsPerStep)} a step`;
}

/** What kept the step from being shorter, as it was measured: the busiest device, or a link that took longer. */
export function measuredBottleneck(
  ranks: readonly Pick<Place, 'device'>[],
  summaries: readonly RankSummary[],
  links: readonly LinkUse[],
): { readonly device: string; readonly why: string } {
  let [device, busy] = ['', -Infinity];
  for (const [rank, { medianComputeSeconds }] of summaries.entries())
    if (medianComputeSeconds > busy) [device, busy] = [ranks[rank]?.device ?? '', medianComputeSeconds];
  let slowest: LinkUse | undefined;
  for (const link of links)
    if (link.secondsPerStep > Math.max(busy, slowest?.secondsPerStep ?? 0)) slowest = link;
  if (slowest) return { device: 'network', why: describeLink(slowest) };
  return { device, why: `computing takes ${formatSeconds(Math.max(0, busy))} a step` };
}

function isSound({ bytes, seconds, messageBytes, messageSeconds }: RankFlow): boolean {
  return [bytes, seconds, messageBytes, messageSeconds].every((value) => Number.isFinite(value) && value > 0);
}

/** There and back again takes twice the latency; that is no part of what the link does in a second. */
function rateOf({ messageBytes, messageSeconds }: RankFlow, { latencySeconds }: Link): number {
  return messageBytes / Math.max(messageSeconds - 2 * latencySeconds, messageSeconds / 2);
}

function correctionOf(flow: RankFlow, planned: Link): Link | undefined {
  const { messageBytes, messageSeconds } = flow;
  const { bandwidthBytesPerSecond, latencySeconds } = planned;
  if (messageSeconds < FAR_SLOWER * (2 * latencySeconds + messageBytes / bandwidthBytesPerSecond))
    return undefined;
  if (messageBytes < LEAST_BYTES) return { bandwidthBytesPerSecond, latencySeconds: messageSeconds / 2 };
  return { bandwidthBytesPerSecond: rateOf(flow, planned), latencySeconds };
}
