import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import t from 'tap';
import { benchmarkAllReduce } from '../../../collectives/index.js';
import { start } from './processes.js';

const leftovers = (): string[] =>
  [...safeList('/dev/shm'), ...safeList(tmpdir())].filter(
    (name) => name.startsWith('dtrain-') && name.length === 'dtrain-'.length + 6,
  );

function safeList(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // no such place on this system
  }
}

for (const local of ['auto', 'tcp', 'ipc']) {
  void t.test(
    `three processes over ${local}: right sums, an orderly end, nothing left behind`,
    { timeout: 60_000 },
    async (t) => {
      const before = leftovers();
      const ranks = await start(t, 3, local, 50_000);
      t.same(
        leftovers().filter((name) => !before.includes(name)),
        [],
        'the files are gone as soon as the ring is formed',
      );
      ranks[1]!.child.send('stop');
      for (const rank of ranks) t.match(await rank.until('done'), { done: true });
      await Promise.all(ranks.map((rank) => rank.exited));
      t.same(
        ranks.map((rank) => rank.child.exitCode),
        [0, 0, 0],
      );
    },
  );

  void t.test(
    `a process killed over ${local}: the others fail at once, and name it`,
    { timeout: 60_000 },
    async (t) => {
      const ranks = await start(t, 3, local, 200_000);
      ranks[1]!.child.kill('SIGKILL');
      const killed = performance.now();
      for (const rank of [ranks[0]!, ranks[2]!]) {
        const { fault, ids, message } = await rank.until('done');
        t.equal(fault, 'peer_lost', message ?? '');
        t.equal(ids?.expectedRank, 1, message ?? '');
      }
      t.ok(performance.now() - killed < 5000, 'within five seconds');
      await Promise.all(ranks.map((rank) => rank.exited));
    },
  );
}

void t.test(
  'a process that is stopped: the others fail at the deadline, and name it',
  { timeout: 60_000 },
  async (t) => {
    const ranks = await start(t, 4, 'auto', 200_000, 1);
    ranks[2]!.child.kill('SIGSTOP');
    for (const rank of [0, 1, 3]) {
      const { fault, ids, message } = await ranks[rank]!.until('done');
      t.equal(fault, 'deadline', message ?? '');
      t.equal(ids?.expectedRank, 2, message ?? '');
    }
    ranks[2]!.child.kill('SIGCONT');
    t.match(await ranks[2]!.until('done'), { fault: String }, 'it learns of it when it goes on');
    await Promise.all(ranks.map((rank) => rank.exited));
  },
);

void t.test('the benchmark checks every result', { timeout: 120_000 }, async (t) => {
  for (const [ranks, bytes, wire] of [
    [1, 4096, 'float32'],
    [2, 1_000_000, 'float32'],
    [3, 400_000, 'bfloat16'],
    [2, 100_004, 'float16'],
  ] as const) {
    const result = await benchmarkAllReduce({ ranks, bytes, wire, repeats: 3, warmUp: 1 });
    t.match(result, { ranks, bytes, wire, checked: true, repeats: 3 });
    t.ok(result.medianSeconds >= result.minSeconds && result.medianSeconds <= result.maxSeconds);
    t.ok(Math.abs(result.busBandwidth * result.medianSeconds - ((2 * (ranks - 1)) / ranks) * bytes) < 1);
  }
  await t.rejects(benchmarkAllReduce({ ranks: 0, bytes: 4 }), /1 to 64/);
  await t.rejects(benchmarkAllReduce({ ranks: 2, bytes: 1 }), /at least one float32/);
});
