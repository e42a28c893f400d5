import fc from 'fast-check';
import t from 'tap';
import { checkSequence, type ProgramEdges, type Slot } from '../../../worker/engine/index.js';
import { departures } from '../../../worker/engine/thread/sequence.js';

const value = fc.record({
  buffer: fc.nat({ max: 1 }),
  at: fc.nat({ max: 12 }),
  elements: fc.nat({ max: 4 }),
});
const spec = (elements: number, i: number) =>
  ({ name: `v${i}`, dtype: 'float32', shape: [elements] }) as const;
const slot = ({ buffer, at }: { readonly buffer: number; readonly at: number }): Slot => ({
  buffer,
  byteOffset: 4 * at,
});

t.test('a segment is accepted exactly when no byte of an output belongs to another value', (t) => {
  fc.assert(
    fc.property(fc.array(value, { maxLength: 5 }), fc.array(value, { maxLength: 4 }), (inputs, outputs) => {
      const edges: ProgramEdges = {
        inputs: inputs.map(({ elements }, i) => spec(elements, i)),
        outputs: outputs.map(({ elements }, i) => spec(elements, i + 10)),
      };
      const buffers = [0, 1].map(() => ({ bytes: 64, kind: 'travelling' as const }));
      const segment = { program: 1, inputs: inputs.map(slot), outputs: outputs.map(slot), release: [] };
      // element by element: who writes it, and does anybody else touch it
      const touched = new Map<string, { readers: number; writers: number }>();
      const touch = (kind: 'readers' | 'writers') => (region: (typeof inputs)[number]) => {
        for (let i = 0; i < region.elements; i++) {
          const key = `${region.buffer}:${region.at + i}`;
          const seen = touched.get(key) ?? { readers: 0, writers: 0 };
          seen[kind]++;
          touched.set(key, seen);
        }
      };
      inputs.forEach(touch('readers'));
      outputs.forEach(touch('writers'));
      const fine = [...touched.values()].every(
        ({ readers, writers }) => writers === 0 || readers + writers === 1,
      );
      let accepted = true;
      try {
        checkSequence({ buffers, segments: [segment] }, () => edges);
      } catch {
        accepted = false;
      }
      return accepted === fine;
    }),
    { numRuns: 2000 },
  );
  t.end();
});

t.test('every travelling buffer departs once, after its last use', (t) => {
  const plan = fc
    .record({
      kinds: fc.array(fc.boolean(), { minLength: 1, maxLength: 6 }),
      segments: fc.integer({ min: 1, max: 4 }),
    })
    .chain(({ kinds, segments }) =>
      fc.record({
        kinds: fc.constant(kinds),
        // the segment that releases each buffer; past the end: none does
        releasedBy: fc.array(fc.nat({ max: segments }), { minLength: kinds.length, maxLength: kinds.length }),
        segments: fc.constant(segments),
      }),
    );
  fc.assert(
    fc.property(plan, ({ kinds, releasedBy, segments }) => {
      const buffers = kinds.map((travels) => ({
        bytes: 4,
        kind: travels ? ('travelling' as const) : ('resident' as const),
      }));
      const release = (segment: number) =>
        kinds.flatMap((travels, i) => (travels && releasedBy[i] === segment ? [i] : []));
      const lists = departures({
        buffers,
        segments: Array.from({ length: segments }, (_, i) => ({
          program: 1,
          inputs: [],
          outputs: [],
          release: release(i),
        })),
      });
      t.equal(lists.length, segments);
      kinds.forEach((travels, i) => {
        const leaves = lists.flatMap((list, segment) =>
          list.filter((buffer) => buffer === i).map(() => segment),
        );
        t.same(leaves, travels ? [Math.min(releasedBy[i]!, segments - 1)] : []);
      });
    }),
    { numRuns: 200 },
  );
  t.end();
});
