import fc from 'fast-check';
import t from 'tap';
import { levelDevices, levelSpeeds, splitShares } from '../../../scheduler/index.js';

const device = fc.record({
  weight: fc.double({ min: 0.01, max: 100, noNaN: true }),
  capacity: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.constant(Infinity)),
});

t.test('shares sum to the batch within the capacities, or there is no room', (t) => {
  fc.assert(
    fc.property(
      fc.array(device, { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 1, max: 500 }),
      (devices, batch) => {
        const capacity = devices.map((d) => d.capacity);
        const shares = splitShares(
          batch,
          devices.map((d) => d.weight),
          capacity,
        );
        const room = capacity.reduce((sum, most) => sum + most, 0);
        if (!shares) return room < batch;
        const sum = shares.reduce((total, share) => total + share, 0);
        return (
          room >= batch &&
          sum === batch &&
          shares.every((share, i) => Number.isInteger(share) && share >= 0 && share <= capacity[i]!)
        );
      },
    ),
  );
  t.end();
});

t.test('without capacities a share differs from its quota by less than one', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.01, max: 100, noNaN: true }), { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1, max: 5000 }),
      (weights, batch) => {
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const shares = splitShares(
          batch,
          weights,
          weights.map(() => Infinity),
        )!;
        return shares.every((share, i) => Math.abs(share - (batch * weights[i]!) / total) < 1.001);
      },
    ),
  );
  t.end();
});

t.test('a thousand devices', (t) => {
  const weights = Array.from({ length: 1000 }, (_, i) => 1 + (i % 7));
  const shares = splitShares(
    100_000,
    weights,
    weights.map((_, i) => (i % 3 === 0 ? 60 : Infinity)),
  )!;
  t.equal(
    shares.reduce((sum, share) => sum + share, 0),
    100_000,
  );
  t.ok(shares.every((share, i) => i % 3 !== 0 || share <= 60));
  t.end();
});

t.test('speeds within the noise of their measurement are one speed', (t) => {
  t.same(levelSpeeds([100, 110, 50, 300]), [105, 105, 50, 300]);
  t.same(levelSpeeds([]), []);
  fc.assert(
    fc.property(fc.array(fc.double({ min: 1, max: 1000, noNaN: true }), { maxLength: 50 }), (speeds) => {
      const level = levelSpeeds(speeds);
      const keepsOrder = speeds.every((a, i) =>
        speeds.every((b, j) => a > b || level[i]! <= level[j]! + 1e-9),
      );
      return (
        keepsOrder && level.every((speed, i) => Math.abs(speed - speeds[i]!) <= 0.15 * speeds[i]! + 1e-9)
      );
    }),
  );
  t.end();
});

t.test('every rate of a device is levelled by itself, and nothing but what plans ask for is left', (t) => {
  const device = (index: number, change: object) => ({
    id: `h/cpu:${index}`,
    host: 'h',
    kind: 'cpu' as const,
    memoryBytes: 1e9,
    flops: 100,
    threads: 2,
    ...change,
  });
  const plain = { host: 'h', kind: 'cpu', memoryBytes: 1e9 };
  t.strictSame(
    levelDevices([
      device(0, { flops: 110, convolutionFlops: 50, launchSeconds: 1 }),
      device(1, { convolutionFlops: 100, launchSeconds: 1.1 }),
      device(2, { flops: 300 }),
    ]),
    [
      { id: 'h/cpu:0', ...plain, flops: 105, convolutionFlops: 50, launchSeconds: 1.05 },
      { id: 'h/cpu:1', ...plain, flops: 105, convolutionFlops: 100, launchSeconds: 1.05 },
      { id: 'h/cpu:2', ...plain, flops: 300 },
    ],
  );
  t.end();
});
