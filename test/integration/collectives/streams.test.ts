import t from 'tap';
import { start } from './processes.js';

const ENTRY = './stream-process.js';
const MIB = 2 ** 20;

for (const [local, worldSize] of [
  ['auto', 2],
  ['auto', 3],
  ['tcp', 3],
] as const) {
  void t.test(
    `${worldSize} processes in a row over ${local}: 1 MiB there and back, beside a ring of the ends`,
    { timeout: 60_000 },
    async (t) => {
      const ranks = await start(t, worldSize, local, MIB, 20, ENTRY);
      ranks[0]!.child.send('stop');
      for (const rank of ranks) t.match(await rank.until('done'), { done: true });
      await Promise.all(ranks.map((rank) => rank.exited));
      t.ok(ranks.every((rank) => rank.child.exitCode === 0));
    },
  );
}

for (const [victim, local] of [
  [0, 'auto'],
  [1, 'tcp'],
] as const) {
  void t.test(
    `rank ${victim} of three killed over ${local}: the others fail at once, and name it`,
    { timeout: 60_000 },
    async (t) => {
      const ranks = await start(t, 3, local, MIB, 20, ENTRY);
      ranks[victim]!.child.kill('SIGKILL');
      const killed = performance.now();
      for (const rank of ranks) {
        if (rank === ranks[victim]) continue;
        const { fault, ids, message } = await rank.until('done');
        t.equal(fault, 'peer_lost', message ?? '');
        t.equal(ids?.expectedRank, victim, message ?? '');
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
    const ranks = await start(t, 3, 'auto', MIB, 1, ENTRY);
    ranks[0]!.child.kill('SIGSTOP');
    for (const rank of [1, 2]) {
      const { fault, ids, message } = await ranks[rank]!.until('done');
      t.equal(fault, 'deadline', message ?? '');
      t.equal(ids?.expectedRank, 0, message ?? '');
    }
    ranks[0]!.child.kill('SIGCONT');
    t.match(await ranks[0]!.until('done'), { fault: String }, 'it learns of it when it goes on');
    await Promise.all(ranks.map((rank) => rank.exited));
  },
);
