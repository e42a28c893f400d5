import { DEFAULT_STREAM, Inbox, Outbox } from '../../collectives/index.js';
import type { Connection } from '../run/rank-part.js';
import type { Streams } from './transfer.js';

/**
 * Opens a stream to and one from each rank that samples are exchanged with: activations and gradients go both ways
 * between neighbours. Each pair of ranks opens the same ones.
 * @throws TransportError naming the rank that does not answer
 */
export async function openStreams(peers: Iterable<number>, connection: Connection): Promise<Streams> {
  const { transport, addresses, ring, joinSeconds, opened } = connection;
  const options = { ...DEFAULT_STREAM, deadline: ring.deadline, transport, joinTimeout: joinSeconds };
  const inboxes = new Map<number, Inbox>();
  const outboxes = new Map<number, Outbox>();
  await Promise.all(
    [...new Set(peers)].flatMap((peer) => [
      Inbox.open({ ...options, from: peer }).then((inbox) => {
        opened(inbox);
        inboxes.set(peer, inbox);
      }),
      Outbox.open({ ...options, to: peer, address: addresses[peer]! }).then((outbox) => {
        opened(outbox);
        outboxes.set(peer, outbox);
      }),
    ]),
  );
  return { inboxes, outboxes };
}
