import type { Seconds } from '../../base/index.js';
import { isWork, spanOf, type TraceEvent } from './event.js';

/** How well a stretch of time was used. */
export interface Usage {
  /** From the first computation to the end of the last, on any rank. */
  readonly seconds: Seconds;
  /** Seconds in which each rank computes. */
  readonly busy: readonly Seconds[];
  /** Share of ranks x seconds in which nobody computes; 0 of nothing. */
  readonly bubble: number;
}

export interface StepUsage extends Usage {
  readonly step: number;
  /** From the first event of the step to the end of the last: updates and messages included. */
  readonly wholeSeconds: Seconds;
}

export interface Bubble extends Usage {
  /** In order. `seconds` and `busy` above are sums over these: time between steps is no bubble of the schedule. */
  readonly steps: readonly StepUsage[];
}

/**
 * The share of idle time that published formulas speak of: forward and backward passes count as computing; updates,
 * reductions and messages do not, nor does the time that a step takes after its last backward pass. O(n log n).
 * @param ranks how many there are; default: as many as events tell of
 */
export function bubbleOf(events: readonly TraceEvent[], ranks = ranksOf(events)): Bubble {
  const bySteps = new Map<number, TraceEvent[]>();
  for (const event of events) {
    const known = bySteps.get(event.step);
    if (known) known.push(event);
    else bySteps.set(event.step, [event]);
  }
  const steps = [...bySteps]
    .sort(([a], [b]) => a - b)
    .map(([step, own]) => ({ step, ...usageOf(own, ranks), wholeSeconds: lengthOf(own) }));
  const busy = Array.from({ length: ranks }, (_, rank) => sum(steps.map((step) => step.busy[rank]!)));
  const seconds = sum(steps.map((step) => step.seconds));
  return { steps, seconds, busy, bubble: idleShare(busy, seconds) };
}

/** One more than the highest rank. */
export function ranksOf(events: readonly TraceEvent[]): number {
  return events.reduce((most, { rank }) => Math.max(most, rank + 1), 0);
}

function usageOf(events: readonly TraceEvent[], ranks: number): Usage {
  const work = events.filter(({ kind }) => isWork(kind));
  const byRank = Array.from({ length: ranks }, (): TraceEvent[] => []);
  for (const event of work) byRank[event.rank]?.push(event);
  const busy = byRank.map(coveredSeconds);
  const seconds = lengthOf(work);
  return { seconds, busy, bubble: idleShare(busy, seconds) };
}

/** Seconds in the union of the events: what two clocks' ticks let overlap counts once. */
function coveredSeconds(events: readonly TraceEvent[]): Seconds {
  let covered = 0;
  let until = -Infinity;
  for (const { start, end } of [...events].sort((a, b) => a.start - b.start)) {
    covered += Math.max(0, end - Math.max(start, until));
    until = Math.max(until, end);
  }
  return covered;
}

function lengthOf(events: readonly TraceEvent[]): Seconds {
  const [first, last] = spanOf(events);
  return last - first;
}

function idleShare(busy: readonly Seconds[], seconds: Seconds): number {
  return seconds === 0 || busy.length === 0 ? 0 : 1 - sum(busy) / (busy.length * seconds);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
