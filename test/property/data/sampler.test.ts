import fc from 'fast-check';
import t from 'tap';
import { leastShare, permutation, Sampler, sharesOf, splitBatch } from '../../../data/index.js';

const seeds = fc.integer({ min: 0, max: 2 ** 32 });
const weights = fc
  .array(fc.oneof(fc.constant(0), fc.double({ min: 1e-3, max: 1e6, noNaN: true })), {
    minLength: 1,
    maxLength: 1000,
  })
  .filter((list) => list.some((weight) => weight > 0));

t.test('splitBatch: exact sum, within one of the quota, nothing for weight 0', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 100_000 }), weights, (count, list) => {
      const counts = splitBatch(count, list);
      const total = list.reduce((sum, weight) => sum + weight, 0);
      return (
        counts.reduce((sum, share) => sum + share, 0) === count &&
        counts.every((share, rank) => {
          const quota = (list[rank]! / total) * count;
          return (
            Number.isInteger(share) && Math.abs(share - quota) < 1 + 1e-6 && (list[rank] !== 0 || share === 0)
          );
        })
      );
    }),
  );
  t.end();
});

t.test('splitBatch: equal weights differ by at most one; scale does not matter; 1,000 ranks', (t) => {
  fc.assert(
    fc.property(fc.nat(5000), fc.integer({ min: 1, max: 1000 }), (count, ranks) => {
      const counts = splitBatch(count, new Array<number>(ranks).fill(0.1));
      return Math.max(...counts) - Math.min(...counts) <= 1;
    }),
  );
  fc.assert(
    fc.property(fc.nat(5000), weights, (count, list) => {
      const doubled = splitBatch(
        count,
        list.map((weight) => weight * 4),
      );
      return doubled.every((share, rank) => share === splitBatch(count, list)[rank]);
    }),
    { numRuns: 20 },
  );
  t.same(splitBatch(128, [3, 1]), [96, 32]);
  t.same(splitBatch(10, [1, 1, 1]), [4, 3, 3]);
  t.same(splitBatch(0, [1, 2]), [0, 0]);
  for (const bad of [[], [0, 0], [-1, 2], [NaN, 1], [Infinity, 1]]) {
    t.throws(() => splitBatch(4, bad), { code: 'internal' });
  }
  t.throws(() => splitBatch(1.5, [1]), { code: 'internal' });
  t.end();
});

t.test(
  'each sample exactly once an epoch, over any ranks and uneven shares that may change at any step',
  (t) => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3000 }),
        fc.integer({ min: 1, max: 400 }),
        seeds,
        fc.nat(50),
        fc.array(weights, { minLength: 1, maxLength: 3 }),
        (length, batch, seed, epoch, worlds) => {
          const sampler = new Sampler({ length, batch, seed, order: 'shuffled' });
          const seen = new Uint8Array(length);
          for (let step = 0; step < sampler.stepsPerEpoch; step++) {
            const samples = sampler.batch({ epoch, step });
            const shares = sharesOf(splitBatch(samples.length, worlds[step % worlds.length]!));
            for (const { start, end } of shares) for (let i = start; i < end; i++) seen[samples[i]!]!++;
          }
          return seen.every((times) => times === 1);
        },
      ),
      { numRuns: 60 },
    );
    t.end();
  },
);

t.test('any (epoch, step) is reached without those before it, and the world does not enter', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 500 }),
      fc.integer({ min: 1, max: 60 }),
      seeds,
      fc.nat(10_000),
      (length, batch, seed, steps) => {
        const options = { length, batch, seed, order: 'shuffled' } as const;
        const played = new Sampler(options);
        const position = played.positionOf(steps);
        played.batch({ epoch: 0, step: 0 });
        if (position.epoch > 0) played.batch({ epoch: position.epoch - 1, step: played.stepsPerEpoch - 1 });
        const resumed = new Sampler(options).batch(position);
        const expected = permutation(length, seed, position.epoch)
          .slice(position.step * batch)
          .slice(0, batch);
        return (
          position.epoch * played.stepsPerEpoch + position.step === steps &&
          String(resumed) === String(expected) &&
          String(played.batch(position)) === String(expected) &&
          resumed.length === played.batchSize(position.step)
        );
      },
    ),
  );
  t.end();
});

t.test('every seed has its own order in every epoch, the first included', (t) => {
  fc.assert(
    fc.property(seeds, seeds, fc.nat(100), fc.nat(100), (seed, other, epoch, later) => {
      const same = seed === other && epoch === later;
      return same === (String(permutation(40, seed, epoch)) === String(permutation(40, other, later)));
    }),
  );
  t.end();
});

t.test('epochs and seeds differ; dropLast leaves out only the short batch; sequential is in order', (t) => {
  const first = permutation(100, 7, 0);
  t.not(String(first), String(permutation(100, 7, 1)));
  t.not(String(first), String(permutation(100, 8, 0)));
  const whole = new Sampler({ length: 10, batch: 4, seed: 1, order: 'sequential' });
  t.same(
    [0, 1, 2].map((step) => [...whole.batch({ epoch: 3, step })]),
    [
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ],
  );
  const dropping = new Sampler({ length: 10, batch: 4, seed: 1, order: 'shuffled', dropLast: true });
  t.equal(dropping.stepsPerEpoch, 2);
  t.same(dropping.positionOf(5), { epoch: 2, step: 1 });
  t.throws(() => dropping.batch({ epoch: 0, step: 2 }), { code: 'internal' });
  t.throws(() => new Sampler({ length: 3, batch: 4, seed: 1, order: 'shuffled', dropLast: true }), {
    code: 'internal',
  });
  t.throws(() => new Sampler({ length: 0, batch: 4, seed: 1, order: 'shuffled' }), { code: 'internal' });
  t.equal(whole.bytes, 40);
  t.end();
});

t.test('a permutation is fair: every sample is as likely at every place', (t) => {
  const places = 5;
  const trials = 5000;
  const counts = new Float64Array(places * places);
  for (let epoch = 0; epoch < trials; epoch++) {
    permutation(places, 42, epoch).forEach((sample, place) => counts[place * places + sample]!++);
  }
  const expected = trials / places;
  const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  t.ok(chiSquare < 45, `chi-square ${chiSquare.toFixed(1)} with 16 degrees of freedom`);
  t.end();
});

t.test('leastShare: the fewest samples that a rank has in any step that is reached', (t) => {
  const run = fc.record({
    rows: fc.integer({ min: 1, max: 60 }),
    batch: fc.integer({ min: 1, max: 20 }),
    steps: fc.integer({ min: 1, max: 70 }),
    list: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
  });
  fc.assert(
    fc.property(run, ({ rows, batch, steps, list }) => {
      const sampler = new Sampler({ length: rows, batch, order: 'sequential', seed: 0 });
      const counts = Array.from({ length: steps }, (_, step) =>
        splitBatch(sampler.batch(sampler.positionOf(step)).length, list),
      ).flat();
      const least = Math.min(...counts.filter((count) => count > 0));
      return leastShare(rows, { batch, steps, weights: list }) === least;
    }),
  );
  t.end();
});
