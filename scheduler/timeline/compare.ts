import { median, type Seconds } from '../../base/index.js';
import { bubbleOf, ranksOf, type Bubble } from './bubble.js';
import { EVENT_KINDS, type EventKind, type TraceEvent } from './event.js';

/** A figure of both; null where there is nothing to take it from. */
export interface Pair {
  readonly simulated: number | null;
  readonly real: number | null;
}

/** What was predicted beside what was, over the steps that there are. */
export interface Comparison {
  /** From the first event of a step to the end of the last: the median. */
  readonly stepSeconds: Pair;
  /** See `bubbleOf`. */
  readonly bubble: Pair;
  /** Seconds a step in which each rank computes: means. */
  readonly busySeconds: readonly Pair[];
  /** Of the kinds that either has: mean seconds of one event. */
  readonly kinds: readonly { readonly kind: EventKind; readonly meanSeconds: Pair }[];
}

/** Events of a simulation (`timelineOf`) beside those of a run of the same plan, ranks numbered alike. O(n log n). */
export function compare(simulated: readonly TraceEvent[], real: readonly TraceEvent[]): Comparison {
  const ranks = Math.max(ranksOf(simulated), ranksOf(real));
  const both = [simulated, real].map((events) => ({ events, bubble: bubbleOf(events, ranks) }));
  const pair = (of: (side: Side) => number | null): Pair => {
    return { simulated: of(both[0]!), real: of(both[1]!) };
  };
  return {
    stepSeconds: pair(({ bubble: { steps } }) =>
      steps.length === 0 ? null : median(steps.map(({ wholeSeconds }) => wholeSeconds)),
    ),
    bubble: pair(({ bubble: { steps, bubble } }) => (steps.length > 0 ? bubble : null)),
    busySeconds: Array.from({ length: ranks }, (_, rank) =>
      pair(({ bubble: { steps } }) => mean(steps.map(({ busy }) => busy[rank]!))),
    ),
    kinds: EVENT_KINDS.map((kind) => ({
      kind,
      meanSeconds: pair(({ events }) => mean(durations(events, kind))),
    })).filter(({ meanSeconds }) => meanSeconds.simulated !== null || meanSeconds.real !== null),
  };
}

interface Side {
  readonly events: readonly TraceEvent[];
  readonly bubble: Bubble;
}

function durations(events: readonly TraceEvent[], kind: EventKind): readonly Seconds[] {
  return events.flatMap((event) => (event.kind === kind ? [event.end - event.start] : []));
}

function mean(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}
