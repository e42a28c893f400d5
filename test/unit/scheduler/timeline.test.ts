import t from 'tap';
import {
  bubbleOf,
  eventsOfSimulation,
  EVENT_KINDS,
  fromChromeTrace,
  makeSchedule,
  simulate,
  toChromeTrace,
  TraceError,
  uniformCosts,
  type ScheduleKind,
  type TraceEvent,
} from '../../../scheduler/index.js';

const unit = { forward: 1, backwardInput: 1, backwardWeight: 1 };
const played = (kind: ScheduleKind, ranks: number, microBatches: number, stagesPerRank = 1) => {
  const schedule = makeSchedule(kind, { ranks, microBatches, stagesPerRank });
  return eventsOfSimulation(simulate(schedule, uniformCosts(schedule.stages, unit)));
};
const event = (rank: number, kind: TraceEvent['kind'], start: number, end: number, step = 0): TraceEvent => {
  return { rank, kind, stage: 0, microBatch: 0, step, start, end };
};

t.test('bubbles of equal stages are those of the published formulas', async (t) => {
  for (const [p, m] of [
    [2, 4],
    [4, 8],
    [4, 4],
    [3, 9],
  ] as const) {
    const published = (p - 1) / (m + p - 1);
    for (const kind of ['gpipe', '1f1b'] as const) {
      t.ok(Math.abs(bubbleOf(played(kind, p, m)).bubble - published) < 1e-12, `${kind} ${p} x ${m}`);
    }
    if (m % p === 0 && m > p) {
      const divided = (p - 1) / 2 / (m + (p - 1) / 2);
      t.ok(Math.abs(bubbleOf(played('interleaved', p, m, 2)).bubble - divided) < 1e-12, `${p} x ${m}`);
    }
    if (m >= 2 * p - 1) {
      const zero = (p - 1) / (3 * m + p - 1);
      t.ok(Math.abs(bubbleOf(played('zero-bubble', p, m)).bubble - zero) < 1e-12, `zero ${p} x ${m}`);
    }
  }
});

t.test('only forward and backward passes count, each step by itself', async (t) => {
  const events = [
    event(0, 'forward', 10, 12, 3),
    event(0, 'receive-gradient', 12, 14, 3),
    event(1, 'backward', 12, 14, 3),
    event(1, 'update', 14, 20, 3),
    event(0, 'step', 100, 101, 4),
    event(1, 'step', 100, 101, 4),
  ];
  const { steps, bubble, busy, seconds } = bubbleOf(events);
  t.same(
    steps.map(({ step, seconds, wholeSeconds, bubble }) => [step, seconds, wholeSeconds, bubble]),
    [
      [3, 4, 10, 0.5],
      [4, 1, 1, 0],
    ],
  );
  t.same([busy, seconds], [[3, 3], 5]);
  t.ok(Math.abs(bubble - 0.4) < 1e-12);
  t.same(bubbleOf([]), { steps: [], seconds: 0, busy: [], bubble: 0 });
  t.equal(bubbleOf([event(0, 'step', 0, 1)], 2).bubble, 0.5, 'a rank that never computes is idle');
});

t.test('a Chrome trace read back is what was written', async (t) => {
  const origin = 1.79e9;
  const events = [
    ...played('interleaved', 2, 4, 2),
    event(1, 'receive-gradient', 0.25, 3),
    event(1, 'reduce', 1, 2),
  ];
  const late = events.map((each) => ({ ...each, start: each.start + origin, end: each.end + origin }));
  const names = { title: 'digits', ranks: [{ device: 'a/cpu:0' }, { device: 'b/cpu:0' }] };
  for (const [what, precision] of [
    [events, 2e-9],
    [late, 1e-6], // a double of so many seconds resolves a quarter of a microsecond
  ] as const) {
    const read = fromChromeTrace(JSON.parse(JSON.stringify(toChromeTrace(what, names))));
    const order = (list: readonly TraceEvent[]) =>
      [...list].sort((a, b) => a.start - b.start || a.rank - b.rank || (a.kind < b.kind ? -1 : 1));
    const [got, want] = [order(read.events), order(what)];
    t.equal(got.length, want.length);
    got.forEach((each, i) => {
      const { start, end, ...rest } = want[i]!;
      t.match(each, rest);
      t.ok(Math.abs(each.start - start) < precision && Math.abs(each.end - end) < precision);
    });
    t.same(read.names.title, 'digits');
    t.same(read.names.ranks[1], { device: 'b/cpu:0', host: 'b' });
  }
});

t.test('threads of a Chrome trace carry device names, and nothing on one overlaps', async (t) => {
  const events = EVENT_KINDS.map((kind, i) => event(0, kind, i, i + (kind === 'reduce' ? 9 : 1)));
  const { traceEvents } = toChromeTrace([...events, event(0, 'send-gradient', 6.5, 12)], {
    title: 'j',
    ranks: [],
  });
  const ends = new Map<number, number>();
  for (const each of traceEvents) {
    if (each.ph !== 'X') continue;
    t.ok(each.ts >= (ends.get(each.tid) ?? 0), each.name);
    ends.set(each.tid, each.ts + each.dur);
  }
  t.ok(ends.size >= 3, 'messages that overlap lie on several threads');
  const threads = traceEvents.filter(({ name }) => name === 'thread_name');
  t.match(threads[0], { tid: 0, args: { name: 'rank 0' } });
  t.match(threads[1], { args: { name: 'rank 0 messages' } });
});

t.test('what is no trace of ours is refused with the place', async (t) => {
  const whole = toChromeTrace(played('gpipe', 2, 2), { title: '', ranks: [] });
  const broken = structuredClone(whole) as { traceEvents: { dur?: unknown }[] };
  broken.traceEvents.at(-1)!.dur = 'long';
  t.throws(() => fromChromeTrace(broken), TraceError);
  t.throws(() => fromChromeTrace([]), { code: 'bad_trace', message: /document/ });
  t.throws(() => fromChromeTrace({ ...whole, otherData: {} }), { message: /otherData.title/ });
});
