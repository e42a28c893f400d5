import fc from 'fast-check';
import t from 'tap';
import {
  bubbleOf,
  EVENT_KINDS,
  eventsOfSimulation,
  fromChromeTrace,
  isWork,
  makeSchedule,
  SCHEDULE_KINDS,
  simulate,
  toChromeTrace,
  toSvg,
  toText,
  type TraceEvent,
} from '../../../scheduler/index.js';

/** Events as a rank makes them: what it computes one after the other, messages whenever. Whole microseconds. */
const events = fc
  .array(
    fc.record({
      rank: fc.nat(5),
      kind: fc.constantFrom(...EVENT_KINDS),
      stage: fc.nat(9),
      microBatch: fc.nat(300),
      step: fc.nat(3),
      gap: fc.nat(2000),
      length: fc.nat(5000),
    }),
    { maxLength: 80 },
  )
  .map((list) => {
    const free = new Map<number, number>();
    return list.map(({ gap, length, ...event }): TraceEvent => {
      const from = (free.get(event.rank) ?? 0) + gap;
      const computes = isWork(event.kind) || event.kind === 'update';
      if (computes) free.set(event.rank, from + length);
      return { ...event, start: from / 1e6, end: (from + length) / 1e6 };
    });
  });
const origin = fc.constantFrom(0, 1_763_000_000);
const sorted = (list: readonly TraceEvent[]) => list.map((e) => JSON.stringify(e)).sort();

t.test('a Chrome trace holds every event, and no thread holds two at a time', async (t) => {
  fc.assert(
    fc.property(events, origin, (list, since) => {
      const moved = list.map((e) => ({ ...e, start: e.start + since, end: e.end + since }));
      const trace = JSON.parse(JSON.stringify(toChromeTrace(moved, { title: 'x', ranks: [] }))) as ReturnType<
        typeof toChromeTrace
      >;
      const read = fromChromeTrace(trace).events;
      const back = (e: TraceEvent) => ({
        ...e,
        start: Math.round((e.start - since) * 1e6),
        end: Math.round((e.end - since) * 1e6),
      });
      t.strictSame(sorted(read.map(back)), sorted(moved.map(back)));
      const ends = new Map<number, number>();
      const complete = trace.traceEvents.flatMap((e) => (e.ph === 'X' ? [e] : []));
      for (const { tid, ts, dur, args, cat } of complete.sort((a, b) => a.ts - b.ts || a.dur - b.dur)) {
        t.ok(ts >= (ends.get(tid) ?? 0) - 0.5, cat);
        ends.set(tid, ts + dur);
        t.equal(tid % Math.max(1, ...complete.map((each) => each.args.rank + 1)), args.rank);
      }
    }),
    { numRuns: 60 },
  );
});

t.test('a bubble is a share, and pictures are of any events', async (t) => {
  fc.assert(
    fc.property(events, fc.integer({ min: 40, max: 200 }), (list, columns) => {
      const { bubble, steps, busy } = bubbleOf(list);
      t.ok([bubble, ...steps.map((step) => step.bubble)].every((share) => share >= -1e-9 && share <= 1));
      t.ok(busy.every((seconds) => seconds >= 0));
      const rows = toText(list, { columns, colour: false }).split('\n').slice(1, -1);
      t.ok(rows.every((row) => row.length <= columns && /^rank \d+ +\|[FBIWSU~0-9=.]*\| \d+ %$/.test(row)));
      t.notMatch(toSvg(list), /NaN|Infinity|undefined|width="-/);
    }),
    { numRuns: 60 },
  );
});

t.test('the bubble of a simulation is that of its events', async (t) => {
  const seconds = fc.double({ min: 0.01, max: 10, noNaN: true });
  const stage = fc.record({ forward: seconds, backwardInput: seconds, backwardWeight: seconds });
  const shape = fc.record({
    kind: fc.constantFrom(...SCHEDULE_KINDS),
    ranks: fc.integer({ min: 1, max: 5 }),
    groups: fc.integer({ min: 1, max: 4 }),
    stages: fc.array(stage, { minLength: 10, maxLength: 10 }),
    wire: seconds,
  });
  fc.assert(
    fc.property(shape, ({ kind, ranks, groups, stages, wire }) => {
      const stagesPerRank = kind === 'interleaved' ? 2 : 1;
      const schedule = makeSchedule(kind, { ranks, microBatches: groups * ranks, stagesPerRank });
      const played = simulate(schedule, { stages, transfer: () => ({ latency: 0.1, wire }) });
      const found = bubbleOf(eventsOfSimulation(played), ranks);
      t.ok(Math.abs(found.bubble - played.bubble) < 1e-9);
      t.ok(Math.abs(found.seconds - played.seconds) < 1e-9 * played.seconds);
      t.ok(found.busy.every((busy, rank) => Math.abs(busy - played.busy[rank]!) < 1e-9 * played.seconds));
    }),
    { numRuns: 100 },
  );
});
