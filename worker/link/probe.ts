import {
  Inbox,
  Outbox,
  edgeLimits,
  ZeroMqTransport,
  DEFAULT_RING,
  type MessageTag,
} from '../../collectives/index.js';
import { median, withDeadline, type Bytes, type Seconds } from '../../base/index.js';
import type { Link } from '../../scheduler/index.js';

/** A probe takes less than a second over all but the slowest links; this long it may take. */
const PROBE_SECONDS: Seconds = 4;
/** Round trips of short messages, the first of which warm up. */
const ROUND_TRIPS = 24;
const WARM_UP = 4;
/** Tells how many of the larger messages fit the time. */
const FIRST_BYTES: Bytes = 64 * 2 ** 10;
const MESSAGE_BYTES: Bytes = 256 * 2 ** 10;
/** So many messages of a round are on their way at once. */
const MOST_MESSAGES = 32;
const ROUNDS = 5;
/** What the rounds of large messages should take together. */
const STREAM_SECONDS: Seconds = 0.4;

const SENDER = 0;
const RECEIVER = 1;

/** The far end of a probe: takes in what the other end sends, then is gone. */
export interface ListeningProbe {
  /** Where the other end finds it. */
  readonly endpoint: string;
  /** Resolves when the probe is over; rejects when the other end did not come, stopped, or took too long. */
  readonly over: Promise<void>;
}

/**
 * Listens for one probe, as a rank of a run does for its neighbours.
 * @param probe the same name at both ends; strangers are turned away
 * @param host the interface to listen on
 */
export async function listenForProbe(probe: string, host: string): Promise<ListeningProbe> {
  const transport = await listen(probe, RECEIVER, host);
  return { endpoint: transport.address, over: within(transport, probe, receive(transport)) };
}

/**
 * Measures the way to a listening end, over the connection that activations and gradients take: latency is half the
 * median round trip of a short message, bandwidth the median of several rounds of large ones, less a round trip.
 * @throws PeerError `deadline`, or what the transport or the stream failed with. Nothing is left open.
 */
export async function measureLink(probe: string, host: string, endpoint: string): Promise<Link> {
  const transport = await listen(probe, SENDER, host);
  return within(transport, probe, send(transport, endpoint));
}

function listen(probe: string, rank: number, host: string): Promise<ZeroMqTransport> {
  const member = { job: probe, epoch: 1, rank, worldSize: 2 };
  return ZeroMqTransport.listen(member, { ...edgeLimits(DEFAULT_RING), host, linger: 0 });
}

async function within<T>(transport: ZeroMqTransport, probe: string, work: Promise<T>): Promise<T> {
  try {
    return await withDeadline(work, PROBE_SECONDS, `link probe ${probe}`);
  } finally {
    work.catch(() => undefined); // it may still fail after the deadline, by being closed
    await transport.close();
  }
}

async function send(transport: ZeroMqTransport, address: string): Promise<Link> {
  const outbox = await Outbox.open({ transport, to: RECEIVER, address, joinTimeout: PROBE_SECONDS });
  const timed = async (messages: readonly (readonly [MessageTag, Uint8Array])[]): Promise<Seconds> => {
    const start = performance.now();
    await Promise.all(messages.map(([tag, bytes]) => outbox.send(tag, bytes)));
    return (performance.now() - start) / 1000;
  };
  const trips: Seconds[] = [];
  for (let trip = 0; trip < ROUND_TRIPS; trip++)
    trips.push(await timed([[tagOf('trip', trip), new Uint8Array(4)]]));
  const roundTrip = median(trips.slice(WARM_UP));
  const first = await timed([[tagOf('first'), new Uint8Array(FIRST_BYTES)]]);
  const count = messagesWithin(STREAM_SECONDS / ROUNDS, rateOf(FIRST_BYTES, first, roundTrip));
  await outbox.send(tagOf('count'), Uint8Array.of(count));
  const message = new Uint8Array(MESSAGE_BYTES);
  const rates = [count === 0 ? rateOf(FIRST_BYTES, first, roundTrip) : 0];
  for (let round = 0; round < ROUNDS && count > 0; round++) {
    const seconds = await timed(
      Array.from({ length: count }, (_, part) => [tagOf('stream', round, part), message]),
    );
    rates[round] = rateOf(count * MESSAGE_BYTES, seconds, roundTrip);
  }
  await outbox.close();
  return { bandwidthBytesPerSecond: median(rates), latencySeconds: roundTrip / 2 };
}

async function receive(transport: ZeroMqTransport): Promise<void> {
  const inbox = await Inbox.open({ transport, from: SENDER, joinTimeout: PROBE_SECONDS });
  const count = new Uint8Array(1);
  // asked for at once, so that nothing waits for a request
  await Promise.all([
    ...Array.from({ length: ROUND_TRIPS }, (_, trip) =>
      inbox.receive(tagOf('trip', trip), new Uint8Array(4)),
    ),
    inbox.receive(tagOf('first'), new Uint8Array(FIRST_BYTES)),
    inbox.receive(tagOf('count'), count),
  ]);
  const places = Array.from({ length: count[0]! }, () => new Uint8Array(MESSAGE_BYTES));
  for (let round = 0; round < ROUNDS; round++)
    await Promise.all(places.map((place, part) => inbox.receive(tagOf('stream', round, part), place)));
  await inbox.close();
}

/** How many messages of a round a link of this rate gets through in `seconds`; none where it is too slow for one. */
export function messagesWithin(seconds: Seconds, bytesPerSecond: number): number {
  return Math.min(MOST_MESSAGES, Math.floor((seconds * bytesPerSecond) / MESSAGE_BYTES));
}

/** Bytes a second, of a transfer whose last acknowledgement came `seconds` after its start. */
export function rateOf(bytes: Bytes, seconds: Seconds, roundTrip: Seconds): number {
  return bytes / Math.max(seconds - roundTrip, seconds / 2);
}

function tagOf(channel: string, step = 0, part = 0): MessageTag {
  return { channel, step, microBatch: 0, part };
}
