import t, { type Test } from 'tap';
import {
  CollectiveError,
  edgeLimits,
  failTogether,
  Inbox,
  Outbox,
  type EdgeLimits,
  type Member,
  type Transport,
} from '../../../collectives/index.js';
import { message, tag } from '../../unit/collectives/memory-streams.js';
import type { MakeTransport } from './transport-suite.js';

const PIECES = { maxPieceBytes: 65536, window: 4 };

/** What streams have to do over every transport. */
export function streamSuite(name: string, network: (limits: EdgeLimits) => MakeTransport): void {
  const test = (title: string, body: (t: Test, make: MakeTransport) => Promise<void>): void => {
    void t.test(`streams over ${name}: ${title}`, { timeout: 30_000 }, async (t) => {
      const alive = setInterval(() => undefined, 1000); // as in transport-suite
      t.teardown(() => clearInterval(alive));
      await body(t, network(edgeLimits({ ...PIECES, inFlight: 2 })));
    });
  };

  test('messages of many sizes, both ways at once, on several channels', async (t, make) => {
    const { pair, close } = await twoWays(make);
    const sizes = [0, 1, 16_383, 65_536, 65_537, 1_000_000];
    const moved = pair.flatMap(({ outbox, inbox }, direction) =>
      ['a', 'b'].flatMap((channel) =>
        sizes.map(async (length, i) => {
          const into = new Uint8Array(length);
          const sent = message(length, direction + i);
          await Promise.all([outbox.send(tag(channel, i), sent), inbox.receive(tag(channel, i), into)]);
          return Buffer.compare(into, sent) === 0;
        }),
      ),
    );
    t.ok((await Promise.all(moved)).every(Boolean));
    await close();
  });

  test('the receiver may be late, and an unclaimed channel holds up no other', async (t, make) => {
    const { pair, close } = await twoWays(make);
    const { outbox, inbox } = pair[0]!;
    const late = outbox.send(tag('late', 0), message(300_000, 1));
    const into = new Uint8Array(200_000);
    await Promise.all([outbox.send(tag('b', 0), message(200_000, 2)), inbox.receive(tag('b', 0), into)]);
    t.same(Buffer.compare(into, message(200_000, 2)), 0);
    const target = new Uint8Array(300_000);
    await Promise.all([late, inbox.receive(tag('late', 0), target)]);
    t.same(Buffer.compare(target, message(300_000, 1)), 0);
    await close();
  });

  test('an abort rejects everything at both ends, with who and why', async (t, make) => {
    const { pair, close } = await twoWays(make);
    const { outbox, inbox } = pair[0]!;
    const waiting = Promise.allSettled([
      outbox.send(tag('a', 0), message(10, 0)),
      inbox.receive(tag('b', 4), new Uint8Array(10)),
      pair[1]!.inbox.receive(tag('c', 0), new Uint8Array(10)),
    ]);
    for (const rank of [0, 1]) {
      void failTogether([pair[rank]!.outbox, pair[1 - rank]!.inbox]);
    }
    outbox.abort('the user cancelled the job');
    for (const result of await waiting) {
      t.match(result, {
        status: 'rejected',
        reason: { fault: 'aborted', message: /the user cancelled the job/, ids: { origin: 0, job: 'job' } },
      });
    }
    await t.rejects(inbox.receive(tag('b', 5), new Uint8Array(1)), CollectiveError);
    await close();
  });

  test('a rank that goes away is named', async (t, make) => {
    const { pair, close, transports } = await twoWays(make);
    const waiting = pair[0]!.inbox.receive(tag('a', 7), new Uint8Array(10));
    const failed = waiting.then(
      () => undefined,
      (error: unknown) => error,
    );
    await transports[0]!.close();
    t.match(await failed, {
      fault: 'peer_lost',
      ids: { expectedRank: 0, rank: 1, channel: 'a', microBatch: 7 },
    });
    await close();
  });
}

interface Way {
  readonly outbox: Outbox;
  readonly inbox: Inbox;
}

/** Streams from rank 0 to rank 1 and back. */
async function twoWays(
  make: MakeTransport,
): Promise<{ pair: Way[]; transports: Transport[]; close: () => Promise<void> }> {
  const member = (rank: number): Member => ({ job: 'job', epoch: 2, rank, worldSize: 2 });
  const transports = await Promise.all([make(member(0)), make(member(1))]);
  const pair = await Promise.all(
    [0, 1].map(async (from) => {
      const to = 1 - from;
      const { address } = transports[to]!;
      const [outbox, inbox] = await Promise.all([
        Outbox.open({ ...PIECES, transport: transports[from]!, to, address }),
        Inbox.open({ ...PIECES, transport: transports[to]!, from }),
      ]);
      return { outbox, inbox };
    }),
  );
  const close = async (): Promise<void> => {
    await Promise.all(pair.flatMap(({ outbox, inbox }) => [outbox.close(), inbox.close()]));
    await Promise.all(transports.map((transport) => transport.close()));
  };
  return { pair, transports, close };
}
