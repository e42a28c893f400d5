import t from 'tap';
import {
  checkSequence,
  type ProgramEdges,
  type SegmentPlan,
  type SequencePlan,
} from '../../../worker/engine/index.js';
import { departures, viewsOf } from '../../../worker/engine/thread/sequence.js';

const value = (name: string, elements: number) => ({ name, dtype: 'float32', shape: [elements] }) as const;
/** Program 1: x[4] -> y[2]. Program 2: y[2], i (int64) -> z[1], w[1]. */
const programs = new Map<number, ProgramEdges>([
  [1, { inputs: [value('x', 4)], outputs: [value('y', 2)] }],
  [
    2,
    {
      inputs: [value('y', 2), { name: 'i', dtype: 'int64', shape: [] }],
      outputs: [value('z', 1), value('w', 1)],
    },
  ],
]);
const slot = (buffer: number, byteOffset: number) => ({ buffer, byteOffset });
const first: SegmentPlan = { program: 1, inputs: [slot(0, 0)], outputs: [slot(1, 0)], release: [0] };
const second: SegmentPlan = {
  program: 2,
  inputs: [slot(1, 0), slot(2, 0)],
  outputs: [slot(3, 0), slot(3, 4)],
  release: [],
};
const good: SequencePlan = {
  buffers: [
    { bytes: 16, kind: 'travelling' },
    { bytes: 8, kind: 'resident' },
    { bytes: 8, kind: 'travelling' },
    { bytes: 8, kind: 'travelling' },
  ],
  segments: [first, second],
};
const check = (plan: SequencePlan) => checkSequence(plan, (program) => programs.get(program));

void t.test('buffers leave with the segment that releases them, the others with the last', (t) => {
  check(good);
  t.same(departures(good), [[0], [2, 3]]);
  t.end();
});

void t.test('views lie where the slots say', (t) => {
  const buffers = [undefined, undefined, undefined, Float32Array.of(5, 6).buffer];
  t.same(viewsOf(second.outputs, programs.get(2)!.outputs, buffers), [
    Float32Array.of(5),
    Float32Array.of(6),
  ]);
  t.end();
});

void t.test('a plan that cannot run is refused, saying where', (t) => {
  const cases: readonly (readonly [RegExp, SequencePlan])[] = [
    [/at least one segment/, { ...good, segments: [] }],
    [/names program 9/, { ...good, segments: [{ ...first, program: 9 }] }],
    [/0 slots for 1 values: each output of segment 0/, { ...good, segments: [{ ...first, outputs: [] }] }],
    [/buffer 7, which does not exist/, { ...good, segments: [{ ...first, inputs: [slot(7, 0)] }] }],
    [/bytes 4 to 20 of buffer 0, which has 16/, { ...good, segments: [{ ...first, inputs: [slot(0, 4)] }] }],
    [
      /output of segment 0 "y" starts at byte 2/,
      { ...good, segments: [{ ...first, outputs: [slot(0, 2)] }] },
    ],
    [/"i" starts at byte 4/, { ...good, segments: [{ ...second, inputs: [slot(1, 0), slot(0, 4)] }] }],
    [
      /"x" and "y" overlap in buffer 0|"y" and "x" overlap/,
      { ...good, segments: [{ ...first, outputs: [slot(0, 8)] }] },
    ],
    [
      /"w" and "z" overlap|"z" and "w" overlap/,
      { ...good, segments: [{ ...second, outputs: [slot(3, 0), slot(3, 0)] }] },
    ],
    [/releases buffer 1, which is not a travelling/, { ...good, segments: [{ ...first, release: [1] }] }],
    [/releases buffer 0 a second time/, { ...good, segments: [{ ...first, release: [0, 0] }] }],
    [/lies in buffer 0, which was released/, { ...good, segments: [first, first] }],
  ];
  for (const [message, plan] of cases) t.throws(() => check(plan), { message });
  t.end();
});

void t.test('inputs may share memory, empty values never clash', (t) => {
  const empty = { name: 'e', dtype: 'float32', shape: [0] } as const;
  const edges: ProgramEdges = { inputs: [value('a', 2), value('b', 1)], outputs: [empty] };
  const segment = { program: 1, inputs: [slot(0, 0), slot(0, 4)], outputs: [slot(0, 4)], release: [] };
  checkSequence({ buffers: good.buffers, segments: [segment] }, () => edges);
  t.end();
});
