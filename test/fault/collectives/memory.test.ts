import fc from 'fast-check';
import t from 'tap';
import { CollectiveError, type Message, type RingOptions } from '../../../collectives/index.js';
import { memoryRing, SMALL } from '../../unit/collectives/memory-ring.js';
import { FakeClock, turns } from '../../unit/collectives/fake-clock.js';
import { DAMAGES, damaging, settle as settleWithin, type Damage } from './damage.js';

const LENGTH = 40;
const DEADLINE = 8;

const settle = <T>(clock: FakeClock, promises: readonly Promise<T>[]): Promise<PromiseSettledResult<T>[]> =>
  settleWithin(clock, promises, DEADLINE);

void t.test(
  'whatever happens to a frame: a right sum or a typed error on every rank, and an end',
  { timeout: 120_000 },
  async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...DAMAGES),
        fc.integer({ min: 2, max: 4 }),
        fc.nat({ max: 14 }),
        fc.nat(),
        fc.constantFrom('float32', 'bfloat16'),
        async (kind, worldSize, at, bit, wire) => {
          const clock = new FakeClock();
          const victim = bit % worldSize;
          const ring: Partial<RingOptions> = { ...SMALL, wire: wire, deadline: DEADLINE, clock };
          const ranks = await memoryRing(worldSize, ring, {
            clock,
            tamper: damaging(kind, victim, (victim + 1) % worldSize, at, bit),
          });
          const buckets = ranks.map((rank) =>
            [0, 1].map((id) => rank.bucket(id, LENGTH, (i) => (i % 7) - 3)),
          );
          const calls = ranks.flatMap(({ communicator }, rank) =>
            buckets[rank]!.map((bucket) => communicator.allReduce(bucket)),
          );
          const results = await settle(clock, calls);
          for (const [n, result] of results.entries()) {
            const { values } = buckets[n >> 1]![n & 1]!;
            if (result.status === 'fulfilled') {
              t.ok(
                values.every((value, i) => value === worldSize * ((i % 7) - 3)),
                'what resolved is the sum',
              );
            } else {
              t.ok(result.reason instanceof CollectiveError, String(result.reason));
              t.match((result.reason as CollectiveError).ids, { job: 'test', epoch: 3, rank: n >> 1 });
            }
          }
          const failures = ranks.map(({ communicator }) => communicator.failure.then((error) => error.fault));
          if (results.some((result) => result.status === 'rejected')) {
            const told = await settle(clock, failures);
            t.equal(told.length, worldSize, 'every rank has heard of it');
            const later = await settle(clock, [ranks[0]!.communicator.barrier()]);
            t.equal(later[0]!.status, 'rejected', 'a failed communicator takes no more calls');
          } else {
            await settle(
              clock,
              ranks.map(({ communicator }) => communicator.close()),
            );
          }
        },
      ),
      { numRuns: 120 },
    );
  },
);

void t.test('faults are named', { timeout: 60_000 }, async (t) => {
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
    const ranks = await memoryRing(3, { ...SMALL, deadline: DEADLINE, clock }, { clock, tamper });
    const buckets = ranks.map((rank) => rank.bucket(9, LENGTH, (i) => i));
    const results = await settle(
      clock,
      ranks.map(({ communicator }, rank) => communicator.allReduce(buckets[rank]!)),
    );
    for (const [rank, result] of results.entries()) {
      const error = (result as PromiseRejectedResult).reason as CollectiveError;
      t.match(error.fault, expected, `${kind}, rank ${rank}: ${error.message}`);
      t.match(error.ids, { origin: 1, expectedRank: 0, collective: 0, bucket: 9, kind: 'all-reduce' });
    }
  }
});

void t.test('a payload damaged in the lane is found', async (t) => {
  const ring = { minPieceBytes: 32768, maxPieceBytes: 65536, window: 2, inFlight: 2 };
  const network = {
    laneSlots: 4,
    laneSlotBytes: 65536,
    tamperLane: (slot: Uint8Array) => void (slot[5]! ^= 1),
  };
  const ranks = await memoryRing(2, ring, network, 2 ** 20);
  const buckets = ranks.map((rank) => rank.bucket(0, 100_000, (i) => i));
  const results = await Promise.allSettled(
    ranks.map(({ communicator }, rank) => communicator.allReduce(buckets[rank]!)),
  );
  for (const result of results) t.match(result, { status: 'rejected', reason: { fault: 'corrupt_payload' } });
});

void t.test('ranks that disagree on a call are told so', async (t) => {
  const wrong = [
    { id: 1, length: 41 },
    { id: 2, length: 40 },
  ];
  for (const { id, length } of wrong) {
    const ranks = await memoryRing(2);
    const results = await Promise.allSettled([
      ranks[0]!.communicator.allReduce(ranks[0]!.bucket(1, 40, () => 1)),
      ranks[1]!.communicator.allReduce(ranks[1]!.bucket(id, length, () => 1)),
    ]);
    for (const result of results) t.match(result, { status: 'rejected', reason: { fault: 'mismatch' } });
  }
  const ranks = await memoryRing(2);
  const results = await Promise.allSettled([
    ranks[0]!.communicator.allReduce(ranks[0]!.bucket(1, 40, () => 1)),
    ranks[1]!.communicator.reduceScatter(ranks[1]!.bucket(1, 40, () => 1)),
  ]);
  for (const result of results) t.match(result, { status: 'rejected', reason: { fault: 'mismatch' } });
});

void t.test('the rank that is silent is blamed, not the one that waits for it', async (t) => {
  const clock = new FakeClock();
  // Nothing that rank 2 of 5 sends arrives, in either direction: as if its process were stopped.
  const tamper = (message: Message, from: number): readonly Message[] => (from === 2 ? [] : [message]);
  const ranks = await memoryRing(5, { ...SMALL, deadline: DEADLINE, clock }, { clock, tamper });
  const buckets = ranks.map((rank) => rank.bucket(0, LENGTH, (i) => i));
  const calls = ranks.map(({ communicator }, rank) => communicator.allReduce(buckets[rank]!));
  const results = await settle(clock, calls);
  for (const rank of [0, 1, 3, 4]) {
    const error = (results[rank] as PromiseRejectedResult).reason as CollectiveError;
    t.equal(error.ids.expectedRank, 2, error.message);
  }
});

void t.test('a rank that computes for long is waited for twice as long, then named', async (t) => {
  const clock = new FakeClock();
  const ranks = await memoryRing(2, { ...SMALL, deadline: DEADLINE, clock }, { clock });
  const call = ranks[0]!.communicator.allReduce(ranks[0]!.bucket(0, LENGTH, () => 1));
  let over = false;
  call.catch(() => (over = true));
  for (let second = 0; second < DEADLINE + 2; second++) {
    await turns(20);
    clock.advance(1);
  }
  await turns(20);
  t.notOk(over, 'it answers, so it gets more time');
  const [result] = await settle(clock, [call]);
  t.match((result as PromiseRejectedResult).reason, {
    fault: 'deadline',
    message: /has not started this collective/,
  });
});

void t.test('leaving while others still need you is an error for them', async (t) => {
  const ranks = await memoryRing(3);
  const calls = Promise.allSettled([0, 1].map((rank) => ranks[rank]!.communicator.barrier()));
  await turns(10);
  await ranks[2]!.communicator.close();
  for (const result of await calls) {
    t.match(result, { status: 'rejected', reason: { fault: 'peer_left', ids: { expectedRank: 2 } } });
  }
});

void t.test('an abort reaches every rank with its reason', async (t) => {
  const ranks = await memoryRing(4);
  const calls = ranks.slice(1).map(({ communicator }) => communicator.barrier());
  ranks[0]!.communicator.abort('the user cancelled the job');
  for (const result of await Promise.allSettled(calls)) {
    t.match(result, {
      status: 'rejected',
      reason: { fault: 'aborted', message: /the user cancelled the job/, ids: { origin: 0 } },
    });
  }
  t.equal((await ranks[0]!.communicator.failure).fault, 'aborted');
});

void t.test('a new epoch starts over after a failure', async (t) => {
  const ranks = await memoryRing(2);
  ranks[0]!.communicator.abort('rehearsal');
  await ranks[1]!.communicator.failure;
  for (const rank of ranks) rank.communicator.abort('given up');
  for (const { arena } of ranks) t.equal(arena.usedBytes, 0, 'the workspace is free again');
});

void t.test('misuse is refused', async (t) => {
  const ranks = await memoryRing(2);
  const { communicator } = ranks[0]!;
  await t.rejects(
    communicator.allReduce({ id: 0, values: new Float32Array(3) }),
    /does not lie in the communicator's arena/,
  );
  const bucket = ranks[0]!.bucket(0, 3, () => 0);
  await t.rejects(communicator.allReduce(bucket, { wire: 'float16' }), /made for float32/);
  await t.rejects(communicator.broadcast(bucket, 2), /broadcast from rank 2 of 2/);
  await Promise.all(ranks.map((rank) => rank.communicator.close()));
  await t.rejects(communicator.allReduce(bucket), /closed/);
});
