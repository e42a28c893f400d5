import fc from 'fast-check';
import type { Device } from '../../../scheduler/index.js';
import type { LayerProfile, PlanRequest } from '../../../scheduler/planner/index.js';

const MIB = 2 ** 20;

/** Random models: units of unequal work, some with tied parameters. */
export function profiles(most: number, least = 1): fc.Arbitrary<LayerProfile> {
  const unit = fc.record({
    flops: fc.integer({ min: 1, max: 40 }),
    moved: fc.integer({ min: 0, max: 20 }),
    mebibytes: fc.integer({ min: 0, max: 60 }),
    saved: fc.integer({ min: 1, max: 30 }),
    crossing: fc.integer({ min: 1, max: 300 }),
  });
  return fc
    .record({ units: fc.array(unit, { minLength: least, maxLength: most }), tie: fc.boolean() })
    .map(({ units, tie }): LayerProfile => {
      const shared = { name: 'shared', bytes: 3 * MIB, trained: true };
      const tied = tie && units.length > 1;
      return {
        units: units.map(({ flops, moved, mebibytes, saved }, i) => {
          const work = { productFlops: flops * 1e8, movedBytes: moved * 1e6, launches: 4 };
          const own = { name: `p${i}`, bytes: mebibytes * MIB, trained: i % 5 !== 4 };
          const end = i === 0 || i === units.length - 1;
          return {
            nodes: [`n${i}`],
            parameters: tied && end ? [own, shared] : [own],
            forward: work,
            backwardInput: work,
            backwardWeight: { ...work, launches: 2 },
            savedBytesPerSample: saved * 1e5,
            rereadBytesPerSample: saved * 2e4,
            forwardBytesPerSample: saved * 1e5,
            backwardBytesPerSample: saved * 2e5,
          };
        }),
        cuts: units.slice(1).map(({ crossing }) => ({
          activationBytesPerSample: crossing * 1e3,
          gradientBytesPerSample: crossing * 1e3,
        })),
        fused: {
          activationBytes: { base: 1e6, perSample: units.reduce((sum, { saved }) => sum + saved * 1e5, 0) },
          crossingBytes: { base: 0, perSample: 1e4 * units.length },
        },
        tied: tied ? [{ parameter: 'shared', units: [0, units.length - 1] }] : [],
      };
    });
}

/** Random devices on one to three hosts. */
export function clusters(most: number, least = 1): fc.Arbitrary<readonly Device[]> {
  const device = fc.record({
    host: fc.constantFrom('a', 'b', 'c'),
    flops: fc.integer({ min: 1, max: 20 }),
    bandwidth: fc.integer({ min: 1, max: 20 }),
    mebibytes: fc.integer({ min: 250, max: 1500 }),
  });
  return fc.array(device, { minLength: least, maxLength: most }).map((devices) =>
    devices.map(({ host, flops, bandwidth, mebibytes }, i): Device => ({
      id: `${host}/cpu:${i}`,
      host,
      kind: 'cpu',
      memoryBytes: mebibytes * MIB,
      flops: flops * 2e10,
      memoryBandwidthBytesPerSecond: bandwidth * 2e9,
    })),
  );
}

export function requests(units: number, devices: number, leastUnits = 1): fc.Arbitrary<PlanRequest> {
  return fc.record({
    layers: profiles(units, leastUnits),
    devices: clusters(devices),
    batch: fc.constantFrom(8, 12, 16, 31),
    job: fc.record({
      stateFactor: fc.constantFrom(0, 1, 2),
      batchBytesPerSample: fc.constant(4096),
      datasetBytes: fc.constant(MIB),
    }),
    topology: fc.record({
      links: fc.constantFrom(
        [],
        [{ between: ['a', 'b'] as const, bandwidthBytesPerSecond: 1e8, latencySeconds: 0.001 }],
      ),
      defaultLink: fc.constantFrom(
        { bandwidthBytesPerSecond: 1e9, latencySeconds: 0.0002 },
        { bandwidthBytesPerSecond: 5e7, latencySeconds: 0.002 },
      ),
    }),
  });
}
