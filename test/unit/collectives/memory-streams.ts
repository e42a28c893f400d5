import {
  Inbox,
  MemoryNetwork,
  Outbox,
  type MemoryNetworkOptions,
  type MessageTag,
  type StreamOptions,
} from '../../../collectives/index.js';

/** Small pieces and windows, so that little data shows everything that much data would. */
export const SMALL_STREAM: Partial<StreamOptions> = { maxPieceBytes: 16, window: 3 };

export function tag(channel: string, microBatch: number): MessageTag {
  return { channel, step: 1, microBatch, part: 0 };
}

/** Bytes that tell which message they belong to, and where in it they lie. */
export function message(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * 7 + seed * 101) & 255);
}

/** A row of ranks within this process: rank i sends to rank i + 1. */
export async function memoryStreams(
  ranks: number,
  stream: Partial<StreamOptions> = SMALL_STREAM,
  network: MemoryNetworkOptions = {},
): Promise<{ outboxes: Outbox[]; inboxes: Inbox[] }> {
  const net = new MemoryNetwork(network);
  const transports = Array.from({ length: ranks }, (_, rank) =>
    net.transport({ job: 'test', epoch: 3, rank, worldSize: ranks }),
  );
  const hops = transports.slice(1).map((transport, hop) => ({ from: transports[hop]!, to: transport, hop }));
  const [outboxes, inboxes] = await Promise.all([
    Promise.all(
      hops.map(({ from, to, hop }) =>
        Outbox.open({ ...stream, transport: from, to: hop + 1, address: to.address }),
      ),
    ),
    Promise.all(hops.map(({ to, hop }) => Inbox.open({ ...stream, transport: to, from: hop }))),
  ]);
  return { outboxes, inboxes };
}
