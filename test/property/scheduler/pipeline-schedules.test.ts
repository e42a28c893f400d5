import fc from 'fast-check';
import t from 'tap';
import {
  heldBy,
  makeSchedule,
  mostInFlight,
  parseGrid,
  printGrid,
  SCHEDULE_KINDS,
  simulate,
  uniformCosts,
  validateSchedule,
  type PipelineSchedule,
} from '../../../scheduler/pipeline/index.js';

const unit = { forward: 1, backwardInput: 1, backwardWeight: 1 };

const shapes = fc
  .record({
    kind: fc.constantFrom(...SCHEDULE_KINDS),
    ranks: fc.integer({ min: 1, max: 8 }),
    microBatches: fc.integer({ min: 1, max: 20 }),
    chunks: fc.integer({ min: 1, max: 4 }),
  })
  .map(({ kind, ranks, microBatches, chunks }) =>
    kind === 'interleaved'
      ? { kind, ranks, microBatches: ranks * Math.ceil(microBatches / ranks), stagesPerRank: chunks }
      : { kind, ranks, microBatches },
  );

t.test('every schedule of every kind can be followed', async () => {
  fc.assert(
    fc.property(shapes, ({ kind, ...shape }) => {
      validateSchedule(makeSchedule(kind, shape));
    }),
    { numRuns: 300 },
  );
});

t.test('a printed grid reads back as the same schedule', async (t) => {
  fc.assert(
    fc.property(shapes, ({ kind, ...shape }) => {
      const schedule = makeSchedule(kind, shape);
      t.strictSame(parseGrid(printGrid(schedule)), schedule);
    }),
    { numRuns: 100 },
  );
});

t.test('the bubble is what the papers say', async (t) => {
  const bubble = (schedule: PipelineSchedule) =>
    simulate(schedule, uniformCosts(schedule.stages, unit)).bubble;
  for (const ranks of [1, 2, 4, 8]) {
    for (const times of [1, 2, 4]) {
      const m = ranks * times;
      const plain = (ranks - 1) / (m + ranks - 1);
      for (const kind of ['gpipe', '1f1b'] as const) {
        t.ok(
          Math.abs(bubble(makeSchedule(kind, { ranks, microBatches: m })) - plain) < 1e-9,
          `${kind} ${ranks}x${m}`,
        );
      }
      const chunks = 2;
      const shorter = (ranks - 1) / (chunks * m + ranks - 1);
      const found = bubble(makeSchedule('interleaved', { ranks, microBatches: m, stagesPerRank: chunks }));
      t.ok(Math.abs(found - shorter) < 1e-9, `interleaved ${ranks}x${m}: ${found} against ${shorter}`);
      // ZB-H1 with halves as long as a forward pass idles a third as long as 1F1B
      if (times < 2) continue;
      const zero = (ranks - 1) / (3 * m + ranks - 1);
      const measured = bubble(makeSchedule('zero-bubble', { ranks, microBatches: m }));
      t.ok(measured <= zero + 1e-9, `zero-bubble ${ranks}x${m}: ${measured} against ${zero}`);
    }
  }
});

t.test('in flight: all for GPipe, S - s for 1F1B, at most S for the zero-bubble schedule', async () => {
  fc.assert(
    fc.property(shapes, ({ kind, ...shape }) => {
      const schedule = makeSchedule(kind, shape);
      for (let stage = 0; stage < schedule.stages; stage++) {
        const most = mostInFlight(schedule, stage);
        const bound =
          kind === '1f1b' ? shape.ranks - stage : kind === 'zero-bubble' ? shape.ranks : shape.microBatches;
        if (most > Math.min(bound, shape.microBatches)) return false;
      }
      return true;
    }),
    { numRuns: 200 },
  );
});

t.test('no rank holds anything when its program ends', async () => {
  fc.assert(
    fc.property(shapes, ({ kind, ...shape }) => {
      const schedule = makeSchedule(kind, shape);
      const sizes = Array.from({ length: schedule.stages }, (_, stage) => stage + 1);
      return schedule.programs.every((program) => {
        const last = heldBy(program, sizes).at(-1)!;
        return last.bytes === sizes[last.action.stage];
      });
    }),
    { numRuns: 100 },
  );
});

t.test('a schedule with any action moved, dropped or doubled is refused, or still holds', async (t) => {
  let refused = 0;
  fc.assert(
    fc.property(shapes, fc.nat(), fc.nat(), fc.nat(2), ({ kind, ...shape }, a, b, how) => {
      const schedule = makeSchedule(kind, shape);
      const programs = schedule.programs.map((program) => [...program]);
      const program = programs[a % programs.length]!;
      const at = b % program.length;
      const [taken] = program.splice(at, 1);
      if (how === 1) program.push(taken!, taken!);
      if (how === 2) program.unshift(taken!);
      try {
        validateSchedule({ ...schedule, programs });
      } catch (error) {
        refused++;
        if (!(error instanceof Error) || error.name !== 'ScheduleError') throw error;
        return;
      }
      // computations that do not wait for each other may change places; nothing may be missing or there twice
      if (how !== 2) throw new Error(`passed with ${JSON.stringify(taken)}`);
    }),
    { numRuns: 200 },
  );
  t.ok(refused > 100);
});
