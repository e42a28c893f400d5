import fc from 'fast-check';
import t from 'tap';
import {
  Arena,
  Communicator,
  DEFAULT_RING,
  edgeLimits,
  MemoryNetwork,
  ringArenaBytes,
  shardBounds,
  type RankGroup,
  type Transport,
} from '../../../collectives/index.js';
import { SMALL } from '../../unit/collectives/memory-ring.js';

const RING = { ...DEFAULT_RING, ...SMALL };
const LENGTH = 37;

function membership(worldSize: number): Transport[] {
  const { laneSlots: _, laneSlotBytes: __, ...limits } = edgeLimits(RING);
  const network = new MemoryNetwork(limits);
  return Array.from({ length: worldSize }, (_, rank) =>
    network.transport({ job: 'test', epoch: 3, rank, worldSize }),
  );
}

async function join(
  transports: readonly Transport[],
  rank: number,
  group?: RankGroup,
  joinTimeout = 5,
): Promise<{ communicator: Communicator; values: Float32Array; arena: Arena }> {
  const arena = new Arena(ringArenaBytes(RING) + 4 * LENGTH + 64);
  const values = arena.float32(arena.allocate('bucket', 4 * LENGTH));
  const addresses = transports.map(({ address }) => address);
  const transport = transports[rank]!;
  const where = group ? { group } : {};
  const communicator = await Communicator.join({
    ...RING,
    ...where,
    transport,
    arena,
    addresses,
    joinTimeout,
  });
  return { communicator, values, arena };
}

void t.test(
  'any groups of ranks, in any order, reduce side by side, and the world beside them',
  { timeout: 60_000 },
  async (t) => {
    const groupsOf = (worldSize: number): fc.Arbitrary<number[][]> =>
      fc.array(fc.shuffledSubarray([...Array(worldSize).keys()], { minLength: 1 }), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }).chain((n) => fc.tuple(fc.constant(n), groupsOf(n))),
        async ([worldSize, subsets]) => {
          const transports = membership(worldSize);
          const everybody = [...Array(worldSize).keys()];
          const groups: (RankGroup | undefined)[] = subsets.map((ranks, i) => ({
            name: `group ${i}`,
            ranks,
          }));
          const rings = await Promise.all(
            [undefined, ...groups].map((group) =>
              Promise.all((group?.ranks ?? everybody).map((rank) => join(transports, rank, group))),
            ),
          );
          await Promise.all(
            rings.flatMap((ring, at) =>
              ring.map(async ({ communicator, values }, position) => {
                t.equal(communicator.rank, position);
                t.equal(communicator.worldSize, ring.length);
                t.same(communicator.shard(LENGTH), shardBounds(LENGTH, ring.length, position));
                values.fill(100 * at + position);
                await communicator.allReduce({ id: at, values });
                const sum = 100 * at * ring.length + (ring.length * (ring.length - 1)) / 2;
                t.ok(
                  values.every((value) => value === sum),
                  'the sum over the group',
                );
                values.fill(position);
                await communicator.broadcast({ id: at, values }, ring.length - 1);
                t.ok(
                  values.every((value) => value === ring.length - 1),
                  'from the last of the group',
                );
                const [scalar] = await communicator.allReduceScalars(Float64Array.of(position));
                t.equal(scalar, (ring.length * (ring.length - 1)) / 2);
              }),
            ),
          );
          await Promise.all(rings.flat().map(({ communicator }) => communicator.close()));
        },
      ),
      { numRuns: 25 },
    );
  },
);

void t.test('a group fails alone, and names ranks by their number in the membership', async (t) => {
  const transports = membership(4);
  const group = { name: 'replicas of stage 1', ranks: [3, 1] };
  const other = { name: 'tied: wte.weight', ranks: [1, 2, 3] };
  const [first, second] = await Promise.all(
    [group, other].map((one) => Promise.all(one.ranks.map((rank) => join(transports, rank, one)))),
  );
  const waiting = first![1]!.communicator.barrier();
  first![0]!.communicator.abort('rehearsal');
  const [result] = await Promise.allSettled([waiting]);
  t.match(result, {
    reason: {
      fault: 'aborted',
      ids: { rank: 1, origin: 3 },
      message:
        /barrier 0 of bucket \d+ in the ring "replicas of stage 1" was aborted: rank 3 gave up: rehearsal/,
    },
  });
  await Promise.all(second!.map(({ communicator }) => communicator.barrier()));
  await Promise.all(second!.map(({ communicator }) => communicator.close()));
});

void t.test('groups that cannot be, and members that disagree', async (t) => {
  const transports = membership(3);
  const wrong: [number[], RegExp][] = [
    [[0, 3], /there is no rank 3 of 3/],
    [[0, 1, 0], /names rank 0 twice/],
    [[1, 2], /rank 0 is not in group "g" \(ranks 1, 2\)/],
  ];
  for (const [ranks, expected] of wrong) {
    await t.rejects(join(transports, 0, { name: 'g', ranks }), expected);
  }
  await t.rejects(join(transports, 0, { name: 'a\nb', ranks: [0, 1] }), /without control characters/);
  const alive = setInterval(() => undefined, 1000);
  const orders = [
    [0, 1],
    [1, 0],
  ];
  const results = await Promise.allSettled(
    orders.map((ranks, rank) => join(transports, rank, { name: 'g', ranks }, 0.1)),
  );
  clearInterval(alive);
  for (const result of results)
    t.match(result, {
      reason: { fault: 'handshake_timeout', message: /it came for "ring g of 2 ranks/ },
    });
});
