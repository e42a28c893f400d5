import {
  Arena,
  Communicator,
  DEFAULT_RING,
  edgeLimits,
  MemoryNetwork,
  ringArenaBytes,
  type MemoryNetworkOptions,
  type RingOptions,
} from '../../../collectives/index.js';

export interface TestRank {
  readonly communicator: Communicator;
  readonly arena: Arena;
  /** A bucket of that many elements, filled by `value(i)`. */
  bucket(id: number, length: number, value: (i: number) => number): { id: number; values: Float32Array };
}

/** Small pieces and windows, so that little data shows everything that much data would. */
export const SMALL: Partial<RingOptions> = { minPieceBytes: 16, maxPieceBytes: 64, window: 2, inFlight: 2 };

/** A ring within this process. `bucketBytes` is room for buckets in each arena. */
export async function memoryRing(
  worldSize: number,
  ring: Partial<RingOptions> = SMALL,
  network: MemoryNetworkOptions = {},
  bucketBytes = 2 ** 20,
): Promise<TestRank[]> {
  const options = { ...DEFAULT_RING, ...ring };
  const { laneSlots, laneSlotBytes, ...limits } = edgeLimits(options);
  const net = new MemoryNetwork({ ...limits, ...network });
  if (
    (network.laneSlots ?? 0) > 0 &&
    network.laneSlots !== laneSlots &&
    network.laneSlotBytes !== laneSlotBytes
  ) {
    throw new RangeError('the lane of the network does not fit the ring');
  }
  const transports = Array.from({ length: worldSize }, (_, rank) =>
    net.transport({ job: 'test', epoch: 3, rank, worldSize }),
  );
  const addresses = transports.map((transport) => transport.address);
  return Promise.all(
    transports.map(async (transport) => {
      const arena = new Arena(ringArenaBytes(options) + bucketBytes);
      const communicator = await Communicator.join({ ...options, transport, arena, addresses });
      return {
        communicator,
        arena,
        bucket: (id: number, length: number, value: (i: number) => number) => {
          const values = arena.float32(arena.allocate(`bucket ${id}`, 4 * length));
          for (let i = 0; i < length; i++) values[i] = value(i);
          return { id, values };
        },
      };
    }),
  );
}
