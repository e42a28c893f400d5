import t from 'tap';
import {
  Inbox,
  MemoryNetwork,
  Outbox,
  type Edge,
  type EdgeListener,
  type Message,
  type Transport,
} from '../../../collectives/index.js';
import { message, tag } from '../../unit/collectives/memory-streams.js';

/** Bytes that a link lets through in a second; may change meanwhile. */
interface Speed {
  bytesPerSecond: number;
}

/** An edge whose messages take their time, one behind another. */
class SlowEdge implements Edge {
  readonly lane = undefined;
  private sending = Promise.resolve();

  constructor(
    private readonly edge: Edge,
    private readonly speed: Speed,
  ) {}

  get peer(): number {
    return this.edge.peer;
  }

  get queuedBytes(): number {
    return this.edge.queuedBytes;
  }

  listen(listener: EdgeListener): void {
    this.edge.listen(listener);
  }

  send(parts: Message): void {
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    const seconds = () => bytes / this.speed.bytesPerSecond;
    const copy = parts.map((part) => Uint8Array.from(part));
    this.sending = this.sending
      .then(() => new Promise<void>((resolve) => setTimeout(resolve, 1000 * seconds())))
      .then(() => this.edge.send(copy));
  }

  close(): void {
    void this.sending.then(() => this.edge.close());
  }

  abort(last?: Message): void {
    this.edge.abort(last);
  }
}

/** What this end sends takes as long as `speed` says. */
function slowed(transport: Transport, speed: Speed): Transport {
  return {
    member: transport.member,
    address: transport.address,
    connect: async (...given) => new SlowEdge(await transport.connect(...given), speed),
    accept: (...given) => transport.accept(...given),
    close: () => transport.close(),
  };
}

const PIECE = 10_000;
const DEADLINE = 0.4;

async function open(speed: Speed) {
  const net = new MemoryNetwork();
  const member = (rank: number) => ({ job: 'slow', epoch: 1, rank, worldSize: 2 });
  const [from, to] = [net.transport(member(0)), net.transport(member(1))];
  const options = { maxPieceBytes: PIECE, window: 2, deadline: DEADLINE };
  const [outbox, inbox] = await Promise.all([
    Outbox.open({ ...options, transport: slowed(from, speed), to: 1, address: to.address }),
    Inbox.open({ ...options, transport: to, from: 0 }),
  ]);
  const carry = async (pieces: number, microBatch: number) => {
    const bytes = message(pieces * PIECE, microBatch);
    const into = new Uint8Array(bytes.length);
    await Promise.all([outbox.send(tag('c', microBatch), bytes), inbox.receive(tag('c', microBatch), into)]);
    return Buffer.from(into).equals(bytes);
  };
  return { outbox, inbox, carry };
}

t.test('a message that takes three deadlines arrives, as long as pieces of it do', async (t) => {
  const { outbox, inbox, carry } = await open({ bytesPerSecond: 100_000 });
  const start = performance.now();
  t.ok(await carry(12, 0));
  const seconds = (performance.now() - start) / 1000;
  t.ok(seconds > 2 * DEADLINE, `${seconds} s`);
  const { bytes, messageBytes, messageSeconds } = outbox.flow!;
  t.same([bytes, messageBytes], [120_000, 120_000]);
  t.ok(messageSeconds > 1 && messageSeconds < seconds + 0.01, `${messageSeconds} s`);
  await Promise.all([outbox.close(), inbox.close()]);
});

t.test(
  'a link that turns slow shows in what is told of it; waiting for the other end does not',
  async (t) => {
    const speed = { bytesPerSecond: 20e6 };
    const { outbox, inbox, carry } = await open(speed);
    t.equal(outbox.flow, undefined);
    for (let i = 0; i < 70; i++) t.ok(await carry(1, i));
    // asked for late: no fault of the link
    const bytes = message(PIECE, 70);
    const sent = outbox.send(tag('c', 70), bytes);
    await new Promise((resolve) => setTimeout(resolve, 200));
    await Promise.all([sent, inbox.receive(tag('c', 70), new Uint8Array(PIECE))]);
    const fast = outbox.flow!;
    t.ok(fast.seconds < 71 * 0.05, `${fast.seconds} s under way`);
    speed.bytesPerSecond = 1e6;
    for (let i = 71; i < 71 + 64; i++) await carry(1, i);
    const slow = outbox.flow!;
    t.ok(slow.messageSeconds >= 0.01, `${slow.messageSeconds} s a message`);
    t.ok(fast.messageSeconds < slow.messageSeconds, 'sooner before');
    t.equal(slow.bytes, 135 * PIECE);
    await Promise.all([outbox.close(), inbox.close()]);
  },
);
