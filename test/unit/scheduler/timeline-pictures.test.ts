import t from 'tap';
import {
  compare,
  eventsOfSimulation,
  EVENT_KINDS,
  makeSchedule,
  simulate,
  toSvg,
  toText,
  uniformCosts,
  type ScheduleKind,
  type TraceEvent,
} from '../../../scheduler/index.js';
import { axisOf } from '../../../scheduler/timeline/axis.js';

const unit = { forward: 1, backwardInput: 1, backwardWeight: 1 };
const played = (kind: ScheduleKind, ranks: number, microBatches: number) => {
  const schedule = makeSchedule(kind, { ranks, microBatches });
  return eventsOfSimulation(simulate(schedule, uniformCosts(ranks, unit)));
};
const event = (rank: number, kind: TraceEvent['kind'], start: number, end: number, microBatch = 0) => {
  return { rank, kind, stage: rank, microBatch, step: 0, start, end } satisfies TraceEvent;
};
const names = { title: 'one & <two>', ranks: [{ device: 'a/cpu:0' }, { device: '"b"/cpu:0' }] };

/** Elements by name, every one closed, text without stray signs. @throws where it is not well-formed */
function elements(xml: string): Map<string, number> {
  const open: string[] = [];
  const counts = new Map<string, number>();
  const tag = /<(\/?)([a-zA-Z]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/g;
  const rest = xml.replace(tag, (_whole, closes: string, name: string, _attributes, empty: string) => {
    if (closes !== '') {
      const last = open.pop();
      if (last !== name) throw new RangeError(`</${name}> closes <${String(last)}>`);
      return '';
    }
    if (open.length === 0 && counts.size > 0) throw new RangeError(`<${name}> beside the root`);
    counts.set(name, (counts.get(name) ?? 0) + 1);
    if (empty === '') open.push(name);
    return '';
  });
  if (open.length > 0) throw new RangeError(`<${open.join('><')}> stay open`);
  if (/[<>]|&(?!amp;|lt;|gt;|quot;)/.test(rest)) throw new RangeError('a sign that has to be escaped');
  return counts;
}

t.test('an SVG is well-formed, and has a bar for each event', async (t) => {
  const events = played('1f1b', 2, 3);
  const svg = toSvg(events, { names });
  const counts = elements(svg);
  t.equal(counts.get('svg'), 1);
  t.equal(svg.match(/<rect class="forward"[^>]*><title>/g)?.length, 6);
  t.equal(svg.match(/<rect class="backward"[^>]*><title>/g)?.length, 6);
  t.equal(svg.match(/class="number"[^>]*>2</g)?.length, 4, 'wide enough for numbers');
  t.match(svg, /bubble 25\.0 %/);
  t.match(svg, /one &amp; &lt;two&gt;/);
  t.match(svg, /prefers-color-scheme:dark/);
  t.match(svg, />0 s</, 'an axis with its unit');
  t.notMatch(svg, /script|href|NaN|Infinity/);
});

t.test('an SVG of nothing, of everything, and of very much', async (t) => {
  t.ok(elements(toSvg([])));
  t.ok(elements(toSvg([event(0, 'step', 5, 5)])));
  const all = toSvg(EVENT_KINDS.map((kind, i) => event(i % 2, kind, i / 1000, (i + 1) / 1000)));
  t.ok(elements(all));
  for (const word of ['waits for gradients', 'reduce', 'update', 'backward, weights']) t.match(all, word);
  const many = Array.from({ length: 20_000 }, (_, i) => event(i % 100, 'forward', i, i + 0.5));
  const dense = toSvg(
    Array.from({ length: 100_000 }, (_, i) => event(0, 'forward', i, i + 1)),
    { width: 800 },
  );
  t.ok(dense.length < 200_000, 'what is too narrow to see is drawn together');
  const large = toSvg(many);
  t.match(large, 'and 36 more ranks');
  t.notMatch(
    toSvg([event(0, 'forward', 0, 1e-9), event(0, 'step', 0, 1)]),
    /class="number"[^>]*>.*class="number"/s,
  );
});

t.test('text is a grid of time, as wide as asked', async (t) => {
  const text = toText(played('1f1b', 2, 3), { columns: 80, colour: false, names });
  const lines = text.split('\n');
  t.equal(lines[0], 'one & <two>: 12 s, bubble 25.0 %');
  t.match(lines[1], /^a\/cpu:0 {3}\|F0=+F1=+\.+B0=+F2=+B1=+\.+B2=+\| 75 %$/);
  t.match(lines[2], /^"b"\/cpu:0 \|\.+F0=+B0=+F1=+B1=+F2=+B2=+\.+\| 75 %$/);
  t.ok(lines.slice(0, 3).every((line) => line.length <= 80));
  t.match(lines[3], 'F forward, B backward, . idle');
  const narrow = toText(played('zero-bubble', 4, 64), { columns: 60, colour: false }).split('\n');
  t.equal(narrow.length, 6);
  t.ok(narrow.slice(1, 5).every((line) => line.length <= 60 && /[FIW]/.test(line)));
  t.match(toText(played('gpipe', 2, 2), { columns: 60, colour: true }), '\u001b[36mF0');
  t.match(toText([], { columns: 60, colour: false }), 'bubble 0.0 %');
  const waits = toText([event(0, 'receive-gradient', 0, 10), event(0, 'forward', 5, 10)], {
    columns: 60,
    colour: false,
  });
  t.match(waits.split('\n')[1], /\|~+F0=+\|/, 'computing hides messages');
  const few = toText(
    Array.from({ length: 9 }, (_, rank) => event(rank, 'step', 0, 1)),
    { columns: 60, colour: false, mostRanks: 4 },
  );
  t.match(few, 'and 5 more');
});

t.test('an axis is marked at round numbers of a fitting unit', async (t) => {
  const labels = (seconds: number, most: number) => {
    const { unit, ticks } = axisOf(seconds, most);
    return [unit, ...ticks.map(({ label }) => label)];
  };
  t.same(labels(1, 5), ['s', '0.0', '0.2', '0.4', '0.6', '0.8', '1.0']);
  t.same(labels(0.012, 6), ['ms', '0', '2', '4', '6', '8', '10', '12']);
  t.same(labels(45e-6, 5), ['µs', '0', '10', '20', '30', '40']);
  t.same(labels(0, 5), ['µs', '0']);
  for (const seconds of [3e-7, 0.0099, 0.5, 7, 123, 86_400]) {
    const { ticks } = axisOf(seconds, 10);
    t.ok(ticks.length >= 4 && ticks.length <= 11 && ticks.at(-1)!.seconds <= seconds * 1.000001);
  }
});

t.test('predicted and real side by side', async (t) => {
  const real = [0, 1].flatMap((step) => [
    { ...event(0, 'forward', 100 * step, 100 * step + 2), step },
    { ...event(1, 'forward', 100 * step + 2, 100 * step + 4), step },
    { ...event(0, 'update', 100 * step + 4, 100 * step + 6 + step), step },
  ]);
  const found = compare(
    [event(0, 'forward', 0, 1), event(1, 'forward', 1, 2), event(2, 'forward', 2, 3)],
    real,
  );
  t.same(found.stepSeconds, { simulated: 3, real: 6.5 });
  t.ok(Math.abs(found.bubble.simulated! - 2 / 3) < 1e-12 && Math.abs(found.bubble.real! - 2 / 3) < 1e-12);
  t.same(found.busySeconds, [
    { simulated: 1, real: 2 },
    { simulated: 1, real: 2 },
    { simulated: 1, real: 0 },
  ]);
  t.same(found.kinds, [
    { kind: 'forward', meanSeconds: { simulated: 1, real: 2 } },
    { kind: 'update', meanSeconds: { simulated: null, real: 2.5 } },
  ]);
  const slow = real.map((e) => (e.step === 1 && e.kind === 'update' ? { ...e, end: e.end + 50 } : e));
  const more = [...slow, ...real.map((e) => ({ ...e, step: e.step + 2 }))];
  t.equal(compare([], more).stepSeconds.real, 6.5, 'one slow step does not move the median');
  t.same(compare([], []), {
    stepSeconds: { simulated: null, real: null },
    bubble: { simulated: null, real: null },
    busySeconds: [],
    kinds: [],
  });
});
