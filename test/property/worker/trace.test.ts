import fc from 'fast-check';
import t from 'tap';
import { EVENT_KINDS, fromRankTrace, type TraceEvent } from '../../../scheduler/index.js';
import { TraceRecorder } from '../../../worker/trace/index.js';

const events = fc.array(
  fc.record({
    rank: fc.constant(1),
    kind: fc.constantFrom(...EVENT_KINDS),
    stage: fc.nat(65_535),
    microBatch: fc.nat(2 ** 32 - 1),
    step: fc.nat(30),
    start: fc.double({ noNaN: true, noDefaultInfinity: true }),
    end: fc.double({ noNaN: true, noDefaultInfinity: true }),
  }),
  { maxLength: 120 },
);

/** What the recorder does, with all the memory in the world. */
function expected(all: readonly TraceEvent[], most: number, firstStep: number, steps: number) {
  const overwritten = all.slice(0, Math.max(0, all.length - most));
  const lost = overwritten.reduce((highest, { step }) => Math.max(highest, step), -1);
  const kept = all.slice(-most).filter(({ step }) => step > lost);
  const warm = kept.filter(({ step }) => step >= firstStep);
  const chosen = warm.length > 0 ? warm : kept;
  const last = [...new Set(chosen.map(({ step }) => step))].sort((a, b) => b - a).slice(0, steps);
  return chosen.filter(({ step }) => last.includes(step));
}

const written = (all: readonly TraceEvent[]) =>
  JSON.stringify(all.map((e) => [e.rank, e.kind, e.stage, e.microBatch, e.step, e.start, e.end]));

t.test('the ring keeps what unbounded memory would, of whole steps', async (t) => {
  const shape = {
    mostEvents: fc.integer({ min: 1, max: 60 }),
    firstStep: fc.nat(6),
    steps: fc.integer({ min: 1, max: 9 }),
  };
  fc.assert(
    fc.property(events, fc.record(shape), (all, options) => {
      const recorder = new TraceRecorder(1, options);
      for (const { kind, stage, microBatch, step, start, end } of all) {
        recorder.add(kind, stage, microBatch, step, start, end);
      }
      const wanted = expected(all, options.mostEvents, options.firstStep, options.steps);
      t.equal(written(recorder.events()), written(wanted));
      t.equal(written(fromRankTrace(JSON.parse(JSON.stringify(recorder.toJson())))), written(wanted));
    }),
    { numRuns: 200 },
  );
});
