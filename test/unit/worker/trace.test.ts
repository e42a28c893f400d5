import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { fromRankTrace, mergeRanks, TraceError } from '../../../scheduler/index.js';
import { TraceRecorder } from '../../../worker/trace/index.js';

const record = (recorder: TraceRecorder, steps: number, each: number) => {
  for (let step = 1; step <= steps; step++) {
    for (let i = 0; i < each; i++)
      recorder.add('forward', 1, i, step, step + i / each, step + (i + 1) / each);
  }
};
const stepsOf = (recorder: TraceRecorder) => [...new Set(recorder.events().map(({ step }) => step))];

t.test('the last steps are kept, without warm-up', async (t) => {
  const recorder = new TraceRecorder(2);
  record(recorder, 20, 4);
  t.same(stepsOf(recorder), [13, 14, 15, 16, 17, 18, 19, 20]);
  const early = new TraceRecorder(2);
  record(early, 5, 4);
  t.same(stepsOf(early), [3, 4, 5]);
  const short = new TraceRecorder(2);
  record(short, 2, 4);
  t.same(stepsOf(short), [1, 2], 'better than nothing');
  t.same(new TraceRecorder(0).events(), []);
});

t.test('what is overwritten takes its whole step along', async (t) => {
  const recorder = new TraceRecorder(0, { mostEvents: 10 });
  record(recorder, 9, 4);
  t.same(stepsOf(recorder), [8, 9]);
  t.equal(recorder.events().length, 8);
  const full = new TraceRecorder(0, { mostEvents: 8 });
  record(full, 9, 4);
  t.same(stepsOf(full), [8, 9], 'full to the last place');
  const tiny = new TraceRecorder(0, { mostEvents: 3 });
  record(tiny, 9, 4);
  t.same(tiny.events(), [], 'no step fits');
});

t.test('events come out as they went in, through a file too', async (t) => {
  const recorder = new TraceRecorder(3);
  const start = TraceRecorder.now();
  t.ok(Math.abs(start - Date.now() / 1000) < 5, 'seconds since 1970');
  recorder.add('backward-weight', 7, 511, 100_000, start, start + 0.5);
  recorder.add('update', 0, 0, 100_000, start + 0.5, start + 0.75);
  const path = join(t.testdir(), 'trace.json');
  await recorder.write(path);
  const read = fromRankTrace(JSON.parse(await readFile(path, 'utf8')));
  t.same(read, recorder.events());
  t.same(read[0], {
    rank: 3,
    kind: 'backward-weight',
    stage: 7,
    microBatch: 511,
    step: 100_000,
    start,
    end: start + 0.5,
  });
});

t.test('merged ranks have the steps that all have', async (t) => {
  const [one, other] = [new TraceRecorder(0), new TraceRecorder(1, { mostEvents: 10 })];
  record(one, 9, 4);
  record(other, 9, 4);
  other.add('receive-activation', 1, 0, 10, 10, 11); // a step that nobody computes any more
  const merged = mergeRanks([one.events(), other.events()]);
  t.same([...new Set(merged.map(({ step }) => step))], [8, 9]);
  t.equal(merged.filter(({ rank }) => rank === 1).length, 8);
  const few = mergeRanks([one.events(), other.events()], 8);
  t.same([...new Set(few.map(({ step }) => step))], [9], 'the last of them, as many as are wanted');
  t.equal(mergeRanks([one.events()], 1).length, 4, 'but one');
  t.same(mergeRanks([]), []);
});

t.test('what no rank recorded is refused with the place', async (t) => {
  t.throws(() => fromRankTrace({ rank: 0, events: [['forward', 0, 0, 1, 0]] }), TraceError);
  t.throws(() => fromRankTrace({ rank: 0, events: [['dance', 0, 0, 1, 0, 1]] }), { message: /events\.0/ });
  t.throws(() => fromRankTrace(null), { code: 'bad_trace', message: /the document: found null/ });
});
