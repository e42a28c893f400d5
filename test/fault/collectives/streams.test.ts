import fc from 'fast-check';
import t from 'tap';
import {
  CollectiveError,
  failTogether,
  streamQueueBytes,
  type Message,
  type StreamOptions,
} from '../../../collectives/index.js';
import { FakeClock, turns } from '../../unit/collectives/fake-clock.js';
import { memoryStreams, message, SMALL_STREAM, tag } from '../../unit/collectives/memory-streams.js';
import { DAMAGES, damaging, settle, type Damage } from './damage.js';

const DEADLINE = 8;
const LENGTH = 60;

void t.test(
  'whatever happens to a frame: the right bytes or a typed error at both ends, and an end',
  { timeout: 120_000 },
  async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...DAMAGES),
        fc.boolean(),
        fc.nat({ max: 16 }),
        fc.nat(),
        async (kind, forward, at, bit) => {
          const clock = new FakeClock();
          const tamper = forward ? damaging(kind, 0, 1, at, bit) : damaging(kind, 1, 0, at, bit);
          const stream = { ...SMALL_STREAM, deadline: DEADLINE, clock };
          const { outboxes, inboxes } = await memoryStreams(2, stream, { clock, tamper });
          const [outbox, inbox] = [outboxes[0]!, inboxes[0]!];
          const tags = ['a', 'b', 'a', 'b'].map((channel, i) => tag(channel, i));
          const targets = tags.map(() => new Uint8Array(LENGTH));
          const results = await settle(
            clock,
            tags.flatMap((one, i) => [outbox.send(one, message(LENGTH, i)), inbox.receive(one, targets[i]!)]),
            DEADLINE,
          );
          for (const [n, result] of results.entries()) {
            if (result.status === 'fulfilled') {
              t.equal(Buffer.compare(targets[n >> 1]!, message(LENGTH, n >> 1)), 0, 'what resolved is there');
            } else {
              t.ok(result.reason instanceof CollectiveError, String(result.reason));
              t.match((result.reason as CollectiveError).ids, { job: 'test', epoch: 3, rank: n & 1 });
            }
          }
          if (results.some(({ status }) => status === 'rejected')) {
            const told = await settle(clock, [outbox.failure, inbox.failure], DEADLINE);
            t.equal(told.length, 2, 'both ends have heard of it');
            const [later] = await settle(clock, [outbox.send(tag('a', 9), message(1, 0))], DEADLINE);
            t.equal(later?.status, 'rejected', 'a failed stream takes no more messages');
          } else {
            await settle(clock, [outbox.close(), inbox.close()], DEADLINE);
          }
        },
      ),
      { numRuns: 150 },
    );
  },
);

void t.test('faults are named, at both ends, with the message', async (t) => {
  const cases: [Damage, RegExp][] = [
    ['lose', /wrong_sequence/],
    ['repeat', /wrong_sequence/],
    ['corrupt', /corrupt_payload/],
    ['swap', /wrong_sequence/],
    ['cut', /truncated/],
    ['silence', /deadline/],
  ];
  for (const [kind, expected] of cases) {
    const clock = new FakeClock();
    // Bit 600 lies in the payload, behind the header's 512.
    const tamper = damaging(kind, 0, 1, 0, 600);
    const stream = { ...SMALL_STREAM, deadline: DEADLINE, clock };
    const { outboxes, inboxes } = await memoryStreams(2, stream, { clock, tamper });
    const results = await settle(
      clock,
      [
        outboxes[0]!.send(tag('0>1', 5), message(LENGTH, 0)),
        inboxes[0]!.receive(tag('0>1', 5), new Uint8Array(LENGTH)),
      ],
      DEADLINE,
    );
    for (const result of results) {
      const error = (result as PromiseRejectedResult).reason as CollectiveError;
      t.match(error.fault, expected, `${kind}: ${error.message}`);
      t.match(error.ids, { channel: '0>1', step: 1, microBatch: 5, part: 0 });
      if (kind !== 'silence') t.match(error.ids, { origin: 1, expectedRank: 0 });
    }
  }
});

void t.test('a piece damaged in the lane is found', async (t) => {
  const { outboxes, inboxes } = await memoryStreams(
    2,
    { maxPieceBytes: 32768 },
    { laneSlots: 4, laneSlotBytes: 32768, tamperLane: (slot) => void (slot[5]! ^= 1) },
  );
  const results = await Promise.allSettled([
    outboxes[0]!.send(tag('a', 0), message(100_000, 0)),
    inboxes[0]!.receive(tag('a', 0), new Uint8Array(100_000)),
  ]);
  for (const result of results) t.match(result, { status: 'rejected', reason: { fault: 'corrupt_payload' } });
});

void t.test('ends that disagree about a message are told so', async (t) => {
  const wrong = [
    [tag('a', 1), 40],
    [{ ...tag('a', 0), step: 2 }, 40],
    [{ ...tag('a', 0), part: 1 }, 40],
    [tag('a', 0), 41],
  ] as const;
  for (const [asked, length] of wrong) {
    const { outboxes, inboxes } = await memoryStreams(2);
    const results = await Promise.allSettled([
      outboxes[0]!.send(tag('a', 0), message(40, 0)),
      inboxes[0]!.receive(asked, new Uint8Array(length)),
    ]);
    for (const result of results) {
      t.match(result, {
        status: 'rejected',
        reason: { fault: 'mismatch', message: /rank 1 asked for a step .* where rank 0 sends a step 1/ },
      });
    }
  }
});

void t.test('a receiver that asks without end is told', async (t) => {
  const { outboxes, inboxes } = await memoryStreams(2, { ...SMALL_STREAM, maxWaiting: 3 });
  const asked = [0, 1, 2].map((i) => inboxes[0]!.receive(tag('a', i), new Uint8Array(1)));
  await turns(10);
  await t.rejects(inboxes[0]!.receive(tag('b', 0), new Uint8Array(1)), /3 messages .* are asked for already/);
  const sent = [0, 1, 2].map((i) => outboxes[0]!.send(tag('a', i), message(1, i)));
  await Promise.all([...asked, ...sent]);
  await Promise.all([outboxes[0]!.close(), inboxes[0]!.close()]);
});

void t.test('what is on its way is bounded, however long the message', async (t) => {
  let bytes = 0;
  // Acknowledgements do not come back: the sender must stop.
  const tamper = (parts: Message, from: number): readonly Message[] => {
    if (from === 0) for (const part of parts) bytes += part.length;
    return from === 1 && bytes > 0 ? [] : [parts];
  };
  const stream = { maxPieceBytes: 1000, window: 5 };
  const { outboxes, inboxes } = await memoryStreams(2, stream, { tamper });
  const calls = Promise.allSettled([
    ...[0, 1, 2].map((i) => outboxes[0]!.send(tag(`${i}`, i), message(10_000, i))),
    ...[0, 1, 2].map((i) => inboxes[0]!.receive(tag(`${i}`, i), new Uint8Array(10_000))),
  ]);
  await turns(50);
  t.equal(bytes, streamQueueBytes(stream));
  outboxes[0]!.abort('seen enough');
  await calls;
});

/** Streams on a fake clock, and a way to let its time pass. */
async function timed(
  ranks: number,
  tamper?: (parts: Message, from: number) => readonly Message[],
  change: Partial<StreamOptions> = {},
) {
  const clock = new FakeClock();
  const stream = { ...SMALL_STREAM, deadline: DEADLINE, clock, ...change };
  const streams = await memoryStreams(ranks, stream, { clock, ...(tamper ? { tamper } : {}) });
  const pass = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second++) {
      await turns(20);
      clock.advance(1);
    }
    await turns(20);
  };
  return { ...streams, clock, pass };
}

void t.test('a sender that computes for long is waited for twice as long, then named', async (t) => {
  const { inboxes, clock, pass } = await timed(2);
  const call = inboxes[0]!.receive(tag('a', 0), new Uint8Array(5));
  let over = false;
  call.catch(() => (over = true));
  await pass(DEADLINE + 2);
  t.notOk(over, 'it answers, so it gets more time');
  const [result] = await settle(clock, [call], DEADLINE);
  t.match((result as PromiseRejectedResult).reason, {
    fault: 'deadline',
    ids: { expectedRank: 0, rank: 1 },
    message: /waited .* for rank 0, for the message; it answers, but does not go on/,
  });
});

void t.test(
  'a message that is never asked for ends at the deadline, whatever other channels do',
  async (t) => {
    const { outboxes, inboxes, pass } = await timed(2);
    const forgotten = outboxes[0]!.send(tag('forgotten', 0), message(5, 0));
    let reason: unknown;
    forgotten.catch((error: unknown) => (reason = error));
    for (let i = 0; i < 2 * DEADLINE + 2 && reason === undefined; i++) {
      const sent = outboxes[0]!.send(tag('busy', i), message(5, i));
      await Promise.allSettled([sent, inboxes[0]!.receive(tag('busy', i), new Uint8Array(5))]);
      await pass(1);
    }
    t.match(reason, {
      fault: 'deadline',
      ids: { channel: 'forgotten' },
      message: /its request for the message/,
    });
  },
);

void t.test('in a row of ranks that fail together, all name the silent one', async (t) => {
  // Nothing that rank 0 sends arrives, in either direction: as if its process were stopped.
  const { outboxes, inboxes, clock } = await timed(4, (parts, from) => (from === 0 ? [] : [parts]));
  const calls = inboxes.map((inbox, hop) => inbox.receive(tag(`${hop}`, 0), new Uint8Array(5)));
  const failures = [1, 2].map((rank) => failTogether([inboxes[rank - 1]!, outboxes[rank]!]));
  for (const result of await settle(clock, calls, DEADLINE)) {
    const error = (result as PromiseRejectedResult).reason as CollectiveError;
    t.match(error, { fault: 'deadline', ids: { expectedRank: 0, origin: 1 } }, error.message);
    t.ok(error.message.split('gave up').length <= 2, 'the reason is passed on, not wrapped again');
  }
  await Promise.all(failures);
});

void t.test('leaving while the other end still needs you is an error there', async (t) => {
  const { outboxes, inboxes } = await memoryStreams(3);
  const received = inboxes[0]!.receive(tag('a', 0), new Uint8Array(5));
  await turns(5);
  const left = outboxes[0]!.close();
  const [early] = await Promise.allSettled([received]);
  t.match(early, { status: 'rejected', reason: { fault: 'peer_left', ids: { expectedRank: 0 } } });
  await left;
  await inboxes[1]!.close();
  const [late] = await Promise.allSettled([outboxes[1]!.send(tag('a', 0), message(5, 0))]);
  t.match(late, { status: 'rejected', reason: { fault: 'peer_left', ids: { expectedRank: 2 } } });
});

void t.test('closing with messages in flight gives them up', async (t) => {
  const { outboxes, inboxes } = await memoryStreams(2);
  const calls = Promise.allSettled([
    outboxes[0]!.send(tag('a', 0), message(5, 0)),
    inboxes[0]!.receive(tag('b', 0), new Uint8Array(5)),
  ]);
  await turns(5);
  await outboxes[0]!.close();
  for (const result of await calls)
    t.match(result, { status: 'rejected', reason: { fault: 'aborted', message: /closed while messages/ } });
});
