import fc from 'fast-check';
import t from 'tap';
import { Arena } from '../../../collectives/index.js';
import type { OptimizerConfig } from '../../../protocol/index.js';
import { layoutBuckets } from '../../../scheduler/index.js';
import {
  Optimizer,
  ruleOf,
  settingsOf,
  spansWithin,
  stateNames,
  updateReference,
} from '../../../worker/optimizer/index.js';
import { RankMemory } from '../../../worker/run/rank-memory.js';

const config: fc.Arbitrary<OptimizerConfig> = fc.oneof(
  fc.record({
    kind: fc.constant('sgd' as const),
    lr: fc.double({ min: 0.01, max: 0.5, noNaN: true }),
    momentum: fc.constantFrom(0, 0.9),
    weightDecay: fc.constantFrom(0, 0.1),
  }),
  fc.record({
    kind: fc.constantFrom('adam' as const, 'adamw' as const),
    lr: fc.double({ min: 0.001, max: 0.1, noNaN: true }),
    weightDecay: fc.constantFrom(0, 0.1),
  }),
);
/** Settings of a group by which it differs from the optimizer's, or does not. */
const own = fc.record({ lr: fc.constantFrom(0, 0.02, 0.3), weightDecay: fc.constantFrom(0, 0.1, 0.5) });
const scenario = fc.record({
  config,
  owns: fc.array(own, { maxLength: 3 }),
  /** Size of each parameter and the group that it is in; the last number of `owns` or more: none. */
  parameters: fc.array(fc.record({ size: fc.integer({ min: 1, max: 40 }), group: fc.nat({ max: 3 }) }), {
    minLength: 1,
    maxLength: 12,
  }),
  ranks: fc.integer({ min: 1, max: 5 }),
  bucketBytes: fc.constantFrom(64, 256, 4096),
  steps: fc.integer({ min: 1, max: 3 }),
});

const value = (i: number) => Math.fround(Math.sin(1.7 * i + 0.3));

t.test('groups on shards of buckets: each parameter is updated as if it were alone', (t) => {
  fc.assert(
    fc.property(scenario, ({ config, owns, parameters, ranks, bucketBytes, steps }) => {
      const names = parameters.map(({ group }, i) => `g${Math.min(group, owns.length)}.p${i}`);
      const used = owns.flatMap((_, g) => (names.some((name) => name.startsWith(`g${g}.`)) ? [g] : []));
      const groups = used.map((g) => ({ parameters: `g${g}.*`, ...owns[g]! }));
      const full = groups.length > 0 ? { ...config, groups } : config;
      const { settings, indexOf } = settingsOf(full, names);
      const packed = names.map((name, i) => ({
        name,
        type: { dtype: 'float32' as const, shape: [parameters[i]!.size] },
        group: indexOf(name),
      }));
      const buckets = layoutBuckets(packed, bucketBytes);
      const { rule } = settings[0]!;

      for (let rank = 0; rank < ranks; rank++) {
        const spread = { ringOf: (id: number) => ({ size: ranks, rank, id }), sharded: true };
        const arena = new Arena(RankMemory.bytesFor(buckets, rule, spread), 'test');
        const memory = new RankMemory(arena, buckets, rule, spread);
        const optimizers = settings.map((each) => new Optimizer(each.rule, arena.memory));
        memory.buckets.forEach(({ parameters: p, gradients: g }, bucket) => {
          for (const { offset, size } of buckets[bucket]!.places) {
            for (let i = offset; i < offset + size; i++) {
              p.values[i] = value(i + 1000 * bucket);
              g.values[i] = value(7 * i + bucket);
            }
          }
        });
        for (let step = 1; step <= steps; step++) {
          for (const { updates } of memory.buckets) {
            for (const { shard, group } of updates) {
              const learningRate = settings[group]!.lr * 0.5;
              optimizers[group]!.update(shard, { learningRate, step, gradientScale: 0.7 });
            }
          }
        }
        memory.buckets.forEach(({ parameters: p, gradients: g, counted }, bucket) => {
          const { places } = buckets[bucket]!;
          const first = (counted.gradients - g.values.byteOffset) / 4;
          const inShard = (i: number) => i >= first && i < first + counted.elements;
          for (const { name, offset, size } of places) {
            const g = used.find((index) => name.startsWith(`g${index}.`));
            const mine = { ...config, ...(g === undefined ? {} : owns[g]!) };
            const expected = Float32Array.from({ length: size }, (_, i) => value(offset + i + 1000 * bucket));
            const start = Float32Array.from(expected);
            const gradient = Float32Array.from({ length: size }, (_, i) => value(7 * (offset + i) + bucket));
            const state = stateNames(rule).map(() => new Float32Array(size));
            for (let step = 1; step <= steps; step++) {
              const scalars = { learningRate: mine.lr * 0.5, step, gradientScale: 0.7 };
              updateReference(ruleOf(mine), expected, gradient, state, scalars);
            }
            for (let i = 0; i < size; i++) {
              const want = inShard(offset + i) ? expected[i]! : start[i]!;
              if (!Object.is(p.values[offset + i], want)) throw new Error(`${name}[${i}] on rank ${rank}`);
            }
          }
          const covered = new Set(
            places.flatMap(({ offset, size }) => Array.from({ length: size }, (_, i) => offset + i)),
          );
          p.values.forEach((found, i) => {
            if (!covered.has(i) && found !== 0) throw new Error(`padding ${i} became ${found}`);
          });
        });
      }
    }),
    { numRuns: 150 },
  );
  t.end();
});

t.test('spans tile the range, are as few as can be, and are one without groups', (t) => {
  const layout = fc.array(fc.record({ size: fc.integer({ min: 0, max: 9 }), group: fc.nat({ max: 2 }) }), {
    minLength: 1,
    maxLength: 10,
  });
  fc.assert(
    fc.property(layout, fc.nat({ max: 40 }), fc.nat({ max: 60 }), (sizes, from, length) => {
      let total = 0;
      const places = sizes.map(({ size, group }) => {
        const offset = total;
        total += size + 1; // one of padding
        return { offset, group };
      });
      const range = { start: Math.min(from, total), end: Math.min(from + length, total) };
      const spans = spansWithin(places, range);
      let at = range.start;
      for (const [i, { start, end, group }] of spans.entries()) {
        if (start !== at || end <= start || spans[i - 1]?.group === group) return false;
        for (let element = start; element < end; element++) {
          if (places.findLast(({ offset }) => offset <= element)!.group !== group) return false;
        }
        at = end;
      }
      const alike = sizes.every(({ group }) => group === sizes[0]!.group);
      return at === range.end && (!alike || spans.length === (range.end > range.start ? 1 : 0));
    }),
  );
  t.end();
});

t.test('equal settings are one, and so are their spans', (t) => {
  const names = ['a.weight', 'a.bias', 'b.weight', 'b.bias'];
  const groups = [
    { parameters: '*.bias', weightDecay: 0 },
    { parameters: 'a.*', weightDecay: 0 },
    { parameters: 'b.*', lr: 0.1 },
  ];
  const { settings, indexOf } = settingsOf({ kind: 'adamw', lr: 0.1, groups }, names);
  t.equal(settings.length, 2);
  t.same(names.map(indexOf), [1, 1, 0, 1]);
  const packed = names.map((name) => ({
    name,
    type: { dtype: 'float32' as const, shape: [3] },
    group: indexOf(name),
  }));
  const [bucket] = layoutBuckets(packed, 2 ** 20);
  t.same(
    bucket!.places.map(({ name }) => name),
    ['b.weight', 'a.weight', 'a.bias', 'b.bias'],
    'side by side, in their order',
  );
  t.equal(spansWithin(bucket!.places, { start: 0, end: bucket!.length }).length, 2);
  t.end();
});
