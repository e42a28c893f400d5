import { Type, type Static } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { ranksOf } from './bubble.js';
import { TraceError } from './errors.js';
import { EVENT_KINDS, isMessage, spanOf, type EventKind, type TraceEvent } from './event.js';
import { hostName, rankName, type TraceNames } from './names.js';

const natural = Type.Integer({ minimum: 0 });
const kinds = Type.Union(EVENT_KINDS.map((kind) => Type.Literal(kind)));

/** A complete event: ours carry what they are in `args`. */
const CompleteSchema = Type.Object({
  ph: Type.Literal('X'),
  name: Type.String(),
  cat: kinds,
  cname: Type.Optional(Type.String()),
  pid: natural,
  tid: natural,
  /** Microseconds since `otherData.originSeconds`. */
  ts: Type.Number(),
  dur: Type.Number({ minimum: 0 }),
  args: Type.Object({ rank: natural, stage: natural, microBatch: natural, step: natural }),
});
type Complete = Static<typeof CompleteSchema>;

/** Names and order of processes and threads. */
const MetadataSchema = Type.Object({
  ph: Type.Literal('M'),
  name: Type.String(),
  pid: natural,
  tid: Type.Optional(natural),
  args: Type.Object({}),
});

const ChromeTraceSchema = Type.Object({
  traceEvents: Type.Array(Type.Union([CompleteSchema, MetadataSchema])),
  displayTimeUnit: Type.Optional(Type.Union([Type.Literal('ms'), Type.Literal('ns')])),
  otherData: Type.Object({
    title: Type.String(),
    /** What `ts` 0 is: seconds since 1970 of a run, 0 of a simulation. */
    originSeconds: Type.Number(),
    ranks: Type.Array(Type.Object({ device: Type.String(), host: Type.String() })),
  }),
});
/** The JSON object format of the Trace Event Format, as chrome://tracing and Perfetto open it. */
export type ChromeTrace = Static<typeof ChromeTraceSchema>;

/** Names of the format's own palette; Perfetto colours by name instead, which gives each kind one too. */
const COLOURS: Readonly<Record<EventKind, string>> = {
  forward: 'thread_state_running',
  backward: 'thread_state_iowait',
  'backward-input': 'thread_state_iowait',
  'backward-weight': 'thread_state_runnable',
  step: 'rail_response',
  update: 'rail_animation',
  reduce: 'rail_load',
  'send-activation': 'grey',
  'receive-activation': 'rail_idle',
  'send-gradient': 'grey',
  'receive-gradient': 'rail_idle',
};

/**
 * Events as a Chrome trace: a process for each host, a thread for each rank with its device's name; messages lie on
 * threads of their own beside it, as many as it takes that none overlaps another. Times are rounded to nanoseconds.
 * O(n log n).
 * @see Trace Event Format, "JSON Object Format", "Complete Events", "Metadata Events"
 */
export function toChromeTrace(events: readonly TraceEvent[], names: TraceNames): ChromeTrace {
  const ranks = Math.max(ranksOf(events), names.ranks.length);
  const [originSeconds] = spanOf(events);
  const hosts = [...new Set(Array.from({ length: ranks }, (_, rank) => hostName(names, rank)))];
  const pids = new Map(hosts.map((host, pid) => [host, pid]));
  const pidOf = (rank: number) => pids.get(hostName(names, rank))!;
  const threads = new Map<number, { rank: number; lane: number }>();
  const complete = withLanes(events).map(({ event, lane }): Complete => {
    const { rank, kind, stage, microBatch, step, start, end } = event;
    const tid = rank + lane * ranks;
    threads.set(tid, { rank, lane });
    return {
      ph: 'X',
      name: `${kind} ${kind === 'update' ? step : kind === 'reduce' ? stage : microBatch}`,
      cat: kind,
      cname: COLOURS[kind],
      pid: pidOf(rank),
      tid,
      ts: nanoseconds(start - originSeconds),
      dur: nanoseconds(end - start),
      args: { rank, stage, microBatch, step },
    };
  });
  const named = [...threads].sort(([a], [b]) => a - b);
  const thread = (tid: number, rank: number, name: string, args: object) => {
    return { ph: 'M' as const, name, pid: pidOf(rank), tid, args };
  };
  return {
    displayTimeUnit: 'ms',
    otherData: {
      title: names.title,
      originSeconds,
      ranks: Array.from({ length: ranks }, (_, rank) => {
        return { device: rankName(names, rank), host: hostName(names, rank) };
      }),
    },
    traceEvents: [
      ...hosts.map((host, pid) => {
        const name = [names.title, host].filter((part) => part !== '').join(': ');
        return { ph: 'M' as const, name: 'process_name', pid, args: { name } };
      }),
      ...named.flatMap(([tid, { rank, lane }]) => {
        const name = `${rankName(names, rank)}${lane === 0 ? '' : ' messages'}`;
        return [
          thread(tid, rank, 'thread_name', { name }),
          thread(tid, rank, 'thread_sort_index', { sort_index: rank * 1000 + lane }),
        ];
      }),
      ...complete,
    ],
  };
}

/**
 * Reads back what `toChromeTrace` wrote.
 * @throws TraceError naming the first entry that is not of that form
 */
export function fromChromeTrace(document: unknown): {
  readonly events: readonly TraceEvent[];
  readonly names: TraceNames;
} {
  if (!Value.Check(ChromeTraceSchema, document)) {
    throw TraceError.at(Value.Errors(ChromeTraceSchema, document), 'a trace.json that dtrain wrote');
  }
  const { traceEvents, otherData } = document;
  const { originSeconds, title, ranks } = otherData;
  const events = traceEvents.flatMap((event): TraceEvent[] => {
    if (event.ph !== 'X') return [];
    const { cat, args, ts, dur } = event;
    const { rank, stage, microBatch, step } = args;
    const start = originSeconds + ts / 1e6;
    return [{ rank, kind: cat, stage, microBatch, step, start, end: start + dur / 1e6 }];
  });
  return { events, names: { title, ranks } };
}

/** Microseconds with nanoseconds behind the point: what viewers resolve. */
function nanoseconds(seconds: number): number {
  return Math.round(seconds * 1e9) / 1e3;
}

/**
 * A lane for each event: 0 for what is computed, from 1 the first that is free for messages. Viewers drop events of a
 * thread that overlap without one holding the other.
 */
export function withLanes(
  events: readonly TraceEvent[],
): readonly { readonly event: TraceEvent; readonly lane: number }[] {
  const free = new Map<number, number[]>();
  return [...events]
    .sort((a, b) => a.start - b.start || b.end - a.end)
    .map((event) => {
      if (!isMessage(event.kind)) return { event, lane: 0 };
      const lanes = free.get(event.rank) ?? [];
      free.set(event.rank, lanes);
      const found = lanes.findIndex((until) => until <= event.start);
      const lane = found === -1 ? lanes.length : found;
      lanes[lane] = event.end;
      return { event, lane: lane + 1 };
    });
}
