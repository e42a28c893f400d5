import fc from 'fast-check';
import t from 'tap';
import { CollectiveUsageError } from '../../../collectives/index.js';
import { memoryStreams, message, SMALL_STREAM, tag } from '../../unit/collectives/memory-streams.js';

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

void t.test(
  'messages of any length arrive whole, in any order of calls at both ends and of channels',
  { timeout: 120_000 },
  async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ channel: fc.constantFrom('0>1', '0>1 b', 'c'), length: fc.nat({ max: 150 }) }), {
          maxLength: 12,
        }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 5 }),
        fc.scheduler(),
        async (messages, maxPieceBytes, window, scheduler) => {
          const { outboxes, inboxes } = await memoryStreams(2, { maxPieceBytes, window });
          const [outbox, inbox] = [outboxes[0]!, inboxes[0]!];
          const targets = messages.map(({ length }) => new Uint8Array(length));
          // Each channel is one sequence at either end; the scheduler mixes the sequences.
          const flying: Promise<void>[] = [];
          const issue = (channel: string, call: (at: number) => Promise<void>) => async (): Promise<void> => {
            for (const [at, { channel: its }] of messages.entries()) {
              if (its !== channel) continue;
              await scheduler.schedule(Promise.resolve());
              flying.push(call(at));
            }
          };
          const channels = [...new Set(messages.map(({ channel }) => channel))];
          const sequences = channels.flatMap((channel) => [
            issue(channel, (at) => outbox.send(tag(channel, at), message(targets[at]!.length, at))),
            issue(channel, (at) => inbox.receive(tag(channel, at), targets[at]!)),
          ]);
          await scheduler.waitFor(Promise.all(sequences.map((sequence) => sequence())));
          await Promise.all(flying);
          t.ok(targets.every((target, at) => same(target, message(target.length, at))));
          await Promise.all([outbox.close(), inbox.close()]);
        },
      ),
      { numRuns: 60 },
    );
  },
);

void t.test('a message that nobody asks for holds up no other channel, and is not sent', async (t) => {
  let bytes = 0;
  const tamper = (parts: readonly Uint8Array[], from: number): (readonly Uint8Array[])[] => {
    if (from === 0) for (const part of parts) bytes += part.length;
    return [parts];
  };
  const { outboxes, inboxes } = await memoryStreams(2, SMALL_STREAM, { tamper });
  const [outbox, inbox] = [outboxes[0]!, inboxes[0]!];
  const unclaimed = outbox.send(tag('a', 0), message(10_000, 0));
  for (let i = 0; i < 5; i++) {
    const into = new Uint8Array(50);
    await Promise.all([outbox.send(tag('b', i), message(50, i)), inbox.receive(tag('b', i), into)]);
    t.ok(same(into, message(50, i)));
  }
  t.ok(bytes < 10_000, 'nothing of the unclaimed message has left');
  const late = new Uint8Array(10_000);
  await Promise.all([unclaimed, inbox.receive(tag('a', 0), late)]);
  t.ok(same(late, message(10_000, 0)));
  await Promise.all([outbox.close(), inbox.close()]);
});

void t.test('long pieces go through the lane, whatever its slots', { timeout: 30_000 }, async (t) => {
  for (const [laneSlots, window] of [
    [2, 8],
    [8, 2],
  ] as const) {
    let through = 0;
    const { outboxes, inboxes } = await memoryStreams(
      2,
      { maxPieceBytes: 65536, window },
      { laneSlots, laneSlotBytes: 32768, tamperLane: () => (through += 1) },
    );
    const into = [1_000_001, 0, 16_384, 5].map((length) => new Uint8Array(length));
    await Promise.all(
      into.flatMap((target, i) => [
        outboxes[0]!.send(tag('x', i), message(target.length, i)),
        inboxes[0]!.receive(tag('x', i), target),
      ]),
    );
    t.ok(into.every((target, i) => same(target, message(target.length, i))));
    t.equal(through, 32, 'every piece but the short one, in pieces no longer than a slot');
    await Promise.all([outboxes[0]!.close(), inboxes[0]!.close()]);
  }
});

void t.test('what cannot be sent is refused, and harms nothing', async (t) => {
  const { outboxes, inboxes } = await memoryStreams(2, { ...SMALL_STREAM, maxWaiting: 2 });
  const [outbox, inbox] = [outboxes[0]!, inboxes[0]!];
  const none = new Uint8Array(0);
  await t.rejects(outbox.send(tag('', 0), none), CollectiveUsageError);
  await t.rejects(inbox.receive(tag('é'.repeat(101), 0), none), /1 to 200 bytes, not 202/);
  await t.rejects(outbox.send({ ...tag('a', 0), part: -1 }, none), /part -1 is not a whole number/);
  await t.rejects(outbox.send({ ...tag('a', 0), step: 2 ** 32 }, none), /step 4294967296/);
  const waiting = [0, 1].map((i) => outbox.send(tag('a', i), none));
  await t.rejects(outbox.send(tag('a', 2), none), /2 messages to rank 1 wait already/);
  await Promise.all([...waiting, ...[0, 1].map((i) => inbox.receive(tag('a', i), none))]);
  await Promise.all([outbox.close(), inbox.close()]);
  await t.rejects(outbox.send(tag('a', 0), none), /closed/);
  await t.rejects(inbox.receive(tag('a', 0), none), /closed/);
});
