import { rmSync } from 'node:fs';
import t from 'tap';
import { linear, model, tensor } from '../../../graph/nn/index.js';
import { PeerError } from '../../../base/index.js';
import type { Phase } from '../../../worker/messages.js';
import type { RankRun } from '../../../worker/run/index.js';
import { Artifacts, planOf } from './plans.js';
import { runRanks, type RankHooks } from './ranks.js';

const artifacts = new Artifacts();
t.teardown(() => artifacts.remove());
const { graph } = model({ input: tensor(6), layers: linear(4) });
const table = artifacts.table(60, 6, 4);

/** Two ranks on a run without end; both are stopped when a rank first enters `at`. */
async function stopIn(at: Phase, hooks: RankHooks = {}) {
  const plan = planOf(artifacts.model(graph), table, [4, 2], {
    totalSteps: at === 'saving' ? 2 : 1_000_000,
    data: { train: table, validation: table },
    validateEverySteps: 1,
    checkpointEverySteps: at === 'saving' ? 0 : 2,
    logEverySteps: 1000,
  });
  const runs = new Set<RankRun>();
  let stoppedAt: number | undefined;
  // after this turn: the phase has begun
  const stopAll = () =>
    setImmediate(() => {
      for (const run of runs) run.stop('the test says so');
    });
  const outcome = await runRanks(plan, artifacts.paths, {
    ...hooks,
    phase: (_rank, phase, run) => {
      runs.add(run);
      if (phase === at) stoppedAt ??= performance.now();
      if (stoppedAt !== undefined) stopAll(); // the one that starts later as well
    },
  });
  rmSync(outcome.folder, { recursive: true, force: true });
  return { ...outcome, seconds: (performance.now() - stoppedAt!) / 1000 };
}

for (const phase of ['fetching', 'compiling', 'connecting', 'training', 'validating', 'saving'] as const) {
  t.test(`a run is stopped while it is ${phase}`, async (t) => {
    const never = phase === 'fetching' ? { fetch: () => new Promise<string>(() => undefined) } : {};
    // `connecting`: nobody ever tells the ranks of each other
    const alone = phase === 'connecting' ? { connect: false } : {};
    const { ranks, seconds } = await stopIn(phase, { ...never, ...alone });
    for (const rank of ranks)
      t.match(rank, { status: 'rejected', reason: { code: 'stopped', message: 'the test says so' } });
    t.ok(seconds < 4, `both ranks have left after ${seconds.toFixed(2)} s`);
  });
}

t.test('a run is stopped while its ring forms, though a neighbour never comes', async (t) => {
  const plan = planOf(artifacts.model(graph), table, [4, 2]);
  let at = 0;
  const outcome = await runRanks(plan, artifacts.paths, {
    connect: false,
    report: (_rank, message, run) => {
      if (message.kind !== 'ready') return;
      // a port that nobody listens on: the handshake would wait for 30 s
      run.connect(['tcp://127.0.0.1:9', 'tcp://127.0.0.1:9']);
      setTimeout(() => {
        at = performance.now();
        run.stop('enough');
      }, 100);
    },
  });
  rmSync(outcome.folder, { recursive: true, force: true });
  for (const rank of outcome.ranks) t.match(rank, { status: 'rejected', reason: { code: 'stopped' } });
  t.ok(performance.now() - at < 4000);
});

t.test('a rank that fails takes the other with it, and each says why', async (t) => {
  const plan = planOf(artifacts.model(graph), table, [4, 2], { totalSteps: 1_000_000 });
  const outcome = await runRanks(plan, artifacts.paths, {
    report: (_rank, message, run) => {
      if (message.kind === 'step' && message.numbers.step === 3) run.stop('its device is gone');
    },
  });
  rmSync(outcome.folder, { recursive: true, force: true });
  const [first, second] = outcome.ranks;
  t.match(first, { reason: { code: 'stopped' } });
  t.match(second, { reason: { family: 'peer', message: /rank 0.*its device is gone/ } });
});

t.test('an artifact that cannot be fetched is the run’s failure', async (t) => {
  const plan = planOf(artifacts.model(graph), table, [6]);
  const { ranks, folder } = await runRanks(plan, artifacts.paths, {
    fetch: () => Promise.reject(new PeerError('bad_artifact', 'the disk is full')),
  });
  rmSync(folder, { recursive: true, force: true });
  t.match(ranks, [{ reason: { code: 'bad_artifact', message: 'the disk is full' } }]);
});
