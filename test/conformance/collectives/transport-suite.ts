import t, { type Test } from 'tap';
import {
  CollectiveUsageError,
  TransportError,
  type Edge,
  type EdgeLimits,
  type Member,
  type Message,
  type Transport,
} from '../../../collectives/index.js';

export const LIMITS: EdgeLimits = {
  maxMessageBytes: 4096,
  highWaterBytes: 20_000,
  laneSlots: 2,
  laneSlotBytes: 1024,
};

/** Makes the transport of a member; members of one call to the suite's test can reach each other. */
export type MakeTransport = (member: Member) => Promise<Transport>;

const member = (rank: number, change: Partial<Member> = {}): Member => ({
  job: 'job',
  epoch: 2,
  rank,
  worldSize: 3,
  ...change,
});

class Inbox {
  readonly messages: Message[] = [];
  ended: TransportError | undefined;
  private wake: () => void = () => undefined;

  constructor(edge: Edge) {
    edge.listen({
      message: (parts) => {
        this.messages.push(parts);
        this.wake();
      },
      closed: (error) => {
        this.ended = error;
        this.wake();
      },
    });
  }

  /** Waits until there are `count` messages, or the edge has ended. */
  async until(count: number): Promise<void> {
    while (this.messages.length < count && !this.ended)
      await new Promise<void>((resolve) => (this.wake = resolve));
  }

  async end(): Promise<TransportError> {
    while (!this.ended) await new Promise<void>((resolve) => (this.wake = resolve));
    return this.ended;
  }
}

async function open(make: MakeTransport): Promise<{ transports: Transport[]; out: Edge; into: Edge }> {
  const transports = await Promise.all([make(member(0)), make(member(1))]);
  const [out, into] = await Promise.all([
    transports[0].connect(1, transports[1].address, 5),
    transports[1].accept(0, 5),
  ]);
  return { transports, out, into };
}

const text = (message: Message): string => message.map((part) => Buffer.from(part).toString()).join('|');

async function faultOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'none';
  } catch (error) {
    if (error instanceof TransportError) return `${error.fault}: ${error.message}`;
    throw error;
  }
}

/** What every transport has to do. `network` is called for each test, so that tests do not meet. */
export function transportSuite(name: string, network: () => MakeTransport): void {
  const test = (title: string, body: (t: Test, make: MakeTransport) => Promise<void>): void => {
    void t.test(`${name}: ${title}`, { timeout: 30_000 }, async (t) => {
      // The clock's timers do not keep a process alive, and an in-memory transport has nothing else.
      const alive = setInterval(() => undefined, 1000);
      t.teardown(() => clearInterval(alive));
      await body(t, network());
    });
  };

  test('messages arrive whole and in order, both ways, also those sent before anybody listens', async (t, make) => {
    const { transports, out, into } = await open(make);
    t.same([out.peer, into.peer], [1, 0]);
    const big = Buffer.alloc(3000, 'x');
    for (let i = 0; i < 5; i++) out.send([Buffer.from(`m${i}`), big]);
    into.send([Buffer.from('back')]);
    const inbox = new Inbox(into);
    const outbox = new Inbox(out);
    await inbox.until(1);
    for (let i = 5; i < 8; i++) out.send([Buffer.from(`m${i}`)]);
    const bytes = (): string => inbox.messages.map(text).join('').replaceAll('|', '');
    const expected = Array.from({ length: 8 }, (_, i) => `m${i}${i < 5 ? big.toString() : ''}`).join('');
    // Short messages may come together, as frames that follow each other.
    while (bytes().length < expected.length) await inbox.until(inbox.messages.length + 1);
    t.equal(bytes(), expected);
    await outbox.until(1);
    t.equal(text(outbox.messages[0]!), 'back');
    await Promise.all(transports.map((transport) => transport.close()));
  });

  test('the queue is bounded in bytes', async (t, make) => {
    const { transports, out } = await open(make);
    let sent = 0;
    try {
      for (; sent < 100; sent++) out.send([Buffer.alloc(4000)]);
    } catch (error) {
      t.match(error, { fault: 'queue_full', ids: { peer: 1, highWaterBytes: 20_000 } });
    }
    t.ok(sent >= 4 && sent < 10, `${sent} messages of 4,000 bytes`);
    t.ok(out.queuedBytes <= 20_000);
    await Promise.all(transports.map((transport) => transport.close()));
  });

  test('a lane, where there is one, holds what is written', async (t, make) => {
    const { transports, out, into } = await open(make);
    t.equal(out.lane === undefined, into.lane === undefined, 'both ends have it, or neither');
    if (out.lane && into.lane) {
      out.lane.write(0, Buffer.alloc(1024, 'a'));
      out.lane.write(1, Buffer.from('in slot one'));
      const target = Buffer.alloc(11);
      into.lane.read(1, target);
      t.equal(target.toString(), 'in slot one');
      into.lane.read(0, target);
      t.equal(target.toString(), 'aaaaaaaaaaa');
    }
    await Promise.all(transports.map((transport) => transport.close()));
  });

  test('after close, what was queued arrives, and then the peer is lost', async (t, make) => {
    const { transports, out, into } = await open(make);
    const inbox = new Inbox(into);
    out.send([Buffer.from('last')]);
    out.close();
    t.match(await inbox.end(), { fault: 'peer_lost' });
    t.same(inbox.messages.map(text), ['last']);
    t.throws(() => out.send([Buffer.from('more')]), TransportError);
    await Promise.all(transports.map((transport) => transport.close()));
  });

  test('an abort drops what is queued, but says its last word', async (t, make) => {
    const { transports, out, into } = await open(make);
    const inbox = new Inbox(into);
    new Inbox(out);
    out.abort([Buffer.from('the reason')]);
    await inbox.until(1);
    t.equal(text(inbox.messages[0]!), 'the reason');
    into.abort();
    t.throws(() => out.send([Buffer.from('more')]), TransportError);
    await Promise.all(transports.map((transport) => transport.close()));
  });

  test('a message that is too long ends the edge', async (t, make) => {
    const { transports, out, into } = await open(make);
    const inbox = new Inbox(into);
    out.send([Buffer.alloc(10_000)]);
    t.match(await inbox.end(), { fault: 'peer_lost' });
    t.same(inbox.messages, []);
    await Promise.all(transports.map((transport) => transport.close()));
  });

  const strangers: [string, Partial<Member>, RegExp][] = [
    ['another job', { job: 'other' }, /refused: .*job other does not match job/],
    ['a stale epoch', { epoch: 1 }, /refused: .*epoch 1 is over; the current one is 2/],
    ['an epoch to come', { epoch: 3 }, /refused: .*epoch 3 has not reached rank 1, which is in 2/],
    ['another world size', { worldSize: 4 }, /refused: .*world size 4 does not match 3/],
  ];
  for (const [who, change, expected] of strangers) {
    test(`${who} is refused with the reason, and the right member still gets in`, async (t, make) => {
      const door = await make(member(1));
      const stranger = await make(member(0, change));
      t.match(await faultOf(stranger.connect(1, door.address, 5)), expected);
      const right = await make(member(0));
      const [edge] = await Promise.all([right.connect(1, door.address, 5), door.accept(0, 5)]);
      t.equal(edge.peer, 1);
      t.match(await faultOf(stranger.connect(1, door.address, 5)), /refused/);
      await Promise.all([door, stranger, right].map((transport) => transport.close()));
    });
  }

  test('the wrong door, a rank that is in already, and nobody at all', async (t, make) => {
    const { transports } = await open(make);
    const again = await make(member(0));
    t.match(
      await faultOf(again.connect(1, transports[1]!.address, 5)),
      /refused: .*rank 0 has already joined/,
    );
    const other = await make(member(2));
    t.match(
      await faultOf(other.connect(0, transports[1]!.address, 5)),
      /refused: .*rank 0 was called; rank 1 answers/,
    );
    t.match(
      await faultOf(transports[1]!.accept(2, 0.05)),
      /handshake_timeout: .*rank 2 did not connect to rank 1 .*already joined/,
    );
    await transports[0]!.close();
    await Promise.all([transports[1]!, again, other].map((transport) => transport.close()));
  });

  test('several edges between two ranks, each for its purpose, in either direction', async (t, make) => {
    const transports = await Promise.all([make(member(0)), make(member(1))]);
    const [near, far] = transports;
    const purposes = ['ring', 'ring replicas of stage 1', 'stream tied: wte.weight'];
    // Asked for in another order than opened: they meet by purpose.
    const accepting = Promise.all([...purposes].reverse().map((purpose) => far.accept(0, 5, purpose)));
    const [outs, backs, back] = await Promise.all([
      Promise.all(purposes.map((purpose) => near.connect(1, far.address, 5, purpose))),
      far.connect(0, near.address, 5, purposes[1]),
      near.accept(1, 5, purposes[1]),
    ]);
    const ins = (await accepting).reverse();
    const pairs = [...outs.map((edge, i) => [edge, ins[i]!] as const), [backs, back] as const];
    const boxes = pairs.map(([, into]) => new Inbox(into));
    pairs.forEach(([from], i) => from.send([Buffer.from(`message ${i}`)]));
    for (const [i, box] of boxes.entries()) {
      await box.until(1);
      t.same(box.messages.map(text), [`message ${i}`]);
    }
    outs[0]!.abort();
    t.match(await boxes[0]!.end(), { fault: 'peer_lost' });
    outs[1]!.send([Buffer.from('still here')]);
    await boxes[1]!.until(2);
    t.equal(boxes[1]!.ended, undefined, 'the end of one edge is not the end of another');
    await Promise.all(transports.map((transport) => transport.close()));
  });

  test('a purpose that nobody waits for, and one that cannot be', async (t, make) => {
    const transports = await Promise.all([make(member(0)), make(member(1))]);
    const [near, far] = transports;
    await near.connect(1, far.address, 5, 'ring a');
    t.match(
      await faultOf(far.accept(0, 0.05, 'ring b')),
      /handshake_timeout: .*did not connect to rank 1 for "ring b" .*it came for "ring a"/,
    );
    t.match(await faultOf(near.connect(1, far.address, 5, 'ring a')), /rank 0 has already joined "ring a"/);
    await t.rejects(near.connect(1, far.address, 5, 'a\nb'), CollectiveUsageError);
    await t.rejects(far.accept(0, 5, ''), /1 to 200 characters/);
    await Promise.all(transports.map((transport) => transport.close()));
  });

  test('closing ends what waits', async (t, make) => {
    const door = await make(member(1));
    const waiting = faultOf(door.accept(0, 5));
    await door.close();
    t.match(await waiting, /edge_closed/);
    await door.close();
  });
}
