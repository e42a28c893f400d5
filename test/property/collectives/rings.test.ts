import fc from 'fast-check';
import t from 'tap';
import { edgeLimits, shardBounds, type RingOptions, type WireFormat } from '../../../collectives/index.js';
import {
  bfloat16Bits,
  bfloat16Value,
  float16Bits,
  float16Value,
} from '../../../collectives/kernels/reference.js';
import { memoryRing, SMALL, type TestRank } from '../../unit/collectives/memory-ring.js';

const WORLD_SIZES = [1, 2, 3, 4, 5, 8];
const LENGTHS = [0, 1, 3, 7, 64, 333];

/** What rank `rank` brings for element `i`: values whose sums round differently in each format. */
const valueAt = (rank: number, i: number): number =>
  Math.fround(Math.sin(1 + i * 7 + rank * 13) * (1 + (i % 5)));

const rounded = (wire: WireFormat, value: number): number => {
  if (wire === 'float16') return float16Value(float16Bits(value));
  if (wire === 'bfloat16') return bfloat16Value(bfloat16Bits(value));
  return value;
};

/** The ring's sum by its definition: chunk c starts at rank c + 1 and passes every rank, each adding its own. */
function expectedSum(wire: WireFormat, worldSize: number, length: number, finish: boolean): Float32Array {
  const sum = new Float32Array(length);
  for (let chunk = 0; chunk < worldSize; chunk++) {
    const { start, end } = shardBounds(length, worldSize, chunk);
    for (let i = start; i < end; i++) {
      let partial = valueAt((chunk + 1) % worldSize, i);
      for (let hop = 2; hop <= worldSize; hop++) {
        partial = Math.fround(valueAt((chunk + hop) % worldSize, i) + rounded(wire, partial));
      }
      sum[i] = finish && worldSize > 1 ? rounded(wire, partial) : partial;
    }
  }
  return sum;
}

async function closeAll(ranks: readonly TestRank[]): Promise<void> {
  await Promise.all(ranks.map((rank) => rank.communicator.close()));
}

/** Room for 16-bit wires too, and a lane where the length of pieces calls for one. */
function options(wire: WireFormat, maxPieceBytes: number): Partial<RingOptions> {
  return { ...SMALL, wire, maxPieceBytes, minPieceBytes: 16 };
}

async function checkAll(
  worldSize: number,
  length: number,
  wire: WireFormat,
  maxPieceBytes: number,
): Promise<string> {
  const ranks = await memoryRing(worldSize, options(wire, maxPieceBytes));
  const fill = (id: number): { id: number; values: Float32Array }[] =>
    ranks.map((rank, at) => rank.bucket(id, length, (i) => valueAt(at, i)));
  const [reduced, scattered, sent] = [fill(1), fill(2), fill(3)];
  const root = worldSize - 1;
  // All in flight at once, as between segments of a backward pass.
  await Promise.all(
    ranks.flatMap(({ communicator }, at) => [
      communicator.allReduce(reduced[at]!),
      communicator.reduceScatter(scattered[at]!),
      communicator.broadcast(sent[at]!, root),
    ]),
  );
  const sum = expectedSum(wire, worldSize, length, true);
  const shards = expectedSum(wire, worldSize, length, false);
  for (const [rank] of ranks.entries()) {
    const same = (a: Float32Array, b: Float32Array): boolean =>
      Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(
        Buffer.from(b.buffer, b.byteOffset, b.byteLength),
      );
    if (!same(reduced[rank]!.values, sum)) return `rank ${rank}: all-reduce differs`;
    const { start, end } = shardBounds(length, worldSize, rank);
    if (!same(scattered[rank]!.values.subarray(start, end), shards.subarray(start, end)))
      return `rank ${rank}: shard differs`;
    const origin = Float32Array.from({ length }, (_, i) =>
      worldSize > 1 ? rounded(wire, valueAt(root, i)) : valueAt(root, i),
    );
    if (!same(sent[rank]!.values, origin)) return `rank ${rank}: broadcast differs`;
  }
  // The two halves apart make the whole.
  await Promise.all(ranks.map(({ communicator }, at) => communicator.allGather(scattered[at]!)));
  for (const [rank] of ranks.entries()) {
    if (scattered[rank]!.values.some((value, i) => !Object.is(value, sum[i])))
      return `rank ${rank}: all-gather differs`;
  }
  await closeAll(ranks);
  return '';
}

for (const wire of ['float32', 'float16', 'bfloat16'] as const) {
  void t.test(
    `every collective equals the sequential sum, bit by bit: ${wire}`,
    { timeout: 120_000 },
    async (t) => {
      for (const worldSize of WORLD_SIZES) {
        for (const length of LENGTHS) {
          const wrong = await checkAll(worldSize, length, wire, length > 100 ? 64 : 32);
          t.equal(wrong, '', `${worldSize} ranks, ${length} elements`);
        }
      }
    },
  );
}

void t.test('any world size, length, piece and window', { timeout: 120_000 }, async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 2, max: 6 }),
      fc.integer({ min: 0, max: 500 }),
      fc.constantFrom<WireFormat>('float32', 'float16', 'bfloat16'),
      fc.constantFrom(16, 48, 128, 4096),
      async (worldSize, length, wire, piece) => {
        t.equal(await checkAll(worldSize, length, wire, piece), '');
      },
    ),
    { numRuns: 25 },
  );
});

void t.test('long payloads through the lane give the same sum', { timeout: 60_000 }, async (t) => {
  for (const wire of ['float32', 'bfloat16'] as const) {
    const ring = { wire, minPieceBytes: 32768, maxPieceBytes: 65536, window: 2, inFlight: 2 };
    const { laneSlots, laneSlotBytes } = edgeLimits(ring);
    let through = 0;
    const network = {
      laneSlots,
      laneSlotBytes,
      tamperLane: () => {
        through++;
      },
    };
    const length = 70_001;
    const ranks = await memoryRing(3, ring, network, 4 * length + 64);
    const buckets = ranks.map((rank, at) => rank.bucket(0, length, (i) => valueAt(at, i)));
    await Promise.all(ranks.map(({ communicator }, at) => communicator.allReduce(buckets[at]!)));
    const sum = expectedSum(wire, 3, length, true);
    for (const bucket of buckets) t.ok(bucket.values.every((value, i) => Object.is(value, sum[i])));
    t.ok(through > 10, `${through} payloads went through the lane`);
    await closeAll(ranks);
  }
});

void t.test('scalars are summed in rank order, and everybody gets the same bits', async (t) => {
  for (const worldSize of [1, 2, 5]) {
    const ranks = await memoryRing(worldSize);
    const own = (rank: number): Float64Array => Float64Array.of(0.1 * (rank + 1), 1e16 / (rank + 1), rank);
    const sums = await Promise.all(
      ranks.map(({ communicator }, rank) => communicator.allReduceScalars(own(rank))),
    );
    const expected = new Float64Array(3);
    for (let rank = 0; rank < worldSize; rank++) own(rank).forEach((value, i) => (expected[i]! += value));
    for (const sum of sums) t.same([...sum], [...expected]);
    t.same(
      [...(await Promise.all(ranks.map((r) => r.communicator.allReduceScalars(new Float64Array(0)))))[0]!],
      [],
    );
    await closeAll(ranks);
  }
});

void t.test('a barrier waits for the last rank', async (t) => {
  const ranks = await memoryRing(3);
  let entered = 0;
  const first = ranks.slice(0, 2).map(async ({ communicator }) => {
    entered++;
    await communicator.barrier();
    return entered;
  });
  await new Promise((resolve) => setImmediate(resolve));
  entered++;
  await ranks[2]!.communicator.barrier();
  t.same(await Promise.all(first), [3, 3]);
  await closeAll(ranks);
});

void t.test(
  'ranks that issue at different times still meet, in any number',
  { timeout: 60_000 },
  async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 80 }), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 2, max: 4 }),
        fc.scheduler(),
        async (lengths, worldSize, scheduler) => {
          const ranks = await memoryRing(worldSize);
          const done = ranks.map(async (rank, at) => {
            const buckets = lengths.map((length, id) => rank.bucket(id, length, (i) => valueAt(at, i)));
            const flying: Promise<void>[] = [];
            for (const bucket of buckets) {
              await scheduler.schedule(Promise.resolve());
              flying.push(rank.communicator.allReduce(bucket));
            }
            await Promise.all(flying);
            return buckets;
          });
          await scheduler.waitFor(Promise.all(done));
          for (const buckets of await Promise.all(done)) {
            for (const [id, bucket] of buckets.entries()) {
              const sum = expectedSum('float32', worldSize, lengths[id]!, true);
              t.ok(bucket.values.every((value, i) => Object.is(value, sum[i])));
            }
          }
          await closeAll(ranks);
        },
      ),
      { numRuns: 20 },
    );
  },
);
