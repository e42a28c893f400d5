import { Type, type Static } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { TraceError } from './errors.js';
import { EVENT_KINDS, isWork, type TraceEvent } from './event.js';

const natural = Type.Integer({ minimum: 0 });

const RankTraceSchema = Type.Object({
  rank: natural,
  /** `[kind, stage, microBatch, step, start, end]`. */
  events: Type.Array(
    Type.Tuple([
      Type.Union(EVENT_KINDS.map((kind) => Type.Literal(kind))),
      natural,
      natural,
      natural,
      Type.Number(),
      Type.Number(),
    ]),
  ),
});
/** What one rank hands over of what it did. */
export type RankTrace = Static<typeof RankTraceSchema>;

export function toRankTrace(rank: number, events: readonly TraceEvent[]): RankTrace {
  return {
    rank,
    events: events.map(({ kind, stage, microBatch, step, start, end }) => {
      return [kind, stage, microBatch, step, start, end];
    }),
  };
}

/** @throws TraceError naming the first entry that is not of the form */
export function fromRankTrace(document: unknown): readonly TraceEvent[] {
  if (!Value.Check(RankTraceSchema, document)) {
    throw TraceError.at(Value.Errors(RankTraceSchema, document), 'what a rank recorded');
  }
  const { rank, events } = document;
  return events.map(([kind, stage, microBatch, step, start, end]) => {
    return { rank, kind, stage, microBatch, step, start, end };
  });
}

/** Viewers, and a string of JSON, take so many events with ease. */
const MOST_EVENTS = 400_000;

/**
 * What ranks recorded, as one: only the steps that all of them have whole, so that a rank whose record begins later
 * does not look idle; of those the last ones, as many as `mostEvents` allows, but one at least. O(events).
 */
export function mergeRanks(
  ranks: readonly (readonly TraceEvent[])[],
  mostEvents = MOST_EVENTS,
): readonly TraceEvent[] {
  const worked = ranks.map((events) => new Set(events.flatMap((e) => (isWork(e.kind) ? [e.step] : []))));
  const common = [...(worked[0] ?? [])].filter((step) => worked.every((steps) => steps.has(step)));
  const counts = new Map<number, number>(common.map((step) => [step, 0]));
  for (const { step } of ranks.flat()) if (counts.has(step)) counts.set(step, counts.get(step)! + 1);
  const kept = new Set<number>();
  let count = 0;
  for (const step of common.sort((a, b) => b - a)) {
    count += counts.get(step)!;
    if (count > mostEvents && kept.size > 0) break;
    kept.add(step);
  }
  return ranks.flat().filter(({ step }) => kept.has(step));
}
