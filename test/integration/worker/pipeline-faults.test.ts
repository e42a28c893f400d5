import { rmSync } from 'node:fs';
import t from 'tap';
import { linear, model, relu, sequential, tensor } from '../../../graph/nn/index.js';
import type { RunPlan } from '../../../protocol/index.js';
import type { Phase } from '../../../worker/messages.js';
import type { RankRun } from '../../../worker/run/index.js';
import { pipelined, stagesOf, type Layout } from './pipelines.js';
import { Artifacts, planOf } from './plans.js';
import { runRanks, type RankHooks } from './ranks.js';

t.setTimeout(120_000);

const artifacts = new Artifacts();
t.teardown(() => artifacts.remove());
const { graph } = model({
  input: tensor(6),
  layers: sequential(linear(8), relu(), linear(8), relu(), linear(4)),
});
const table = artifacts.table(60, 6, 4);
/** Ranks 0; 1 and 2; 3. */
const layout: Layout = { replicas: [[1], [1, 1], [1]], kind: '1f1b', microBatches: 3 };

function plan(change: Partial<RunPlan> = {}): RunPlan {
  const base = planOf(artifacts.model(graph), table, [6], {
    totalSteps: 1_000_000,
    data: { train: table, validation: table },
    logEverySteps: 1,
    ...change,
  });
  const stages = stagesOf(graph, { loss: base.loss, shapes: { input: [2, 6] } }, 3);
  return pipelined(base, layout, stages);
}

/** Whoever waits for a promise that nobody handles ends the process: none may be left behind. */
const unhandled: unknown[] = [];
process.on('unhandledRejection', (error) => unhandled.push(error));

async function run(what: RunPlan, hooks: RankHooks) {
  const outcome = await runRanks(what, artifacts.paths, hooks);
  rmSync(outcome.folder, { recursive: true, force: true });
  return outcome.ranks;
}

for (const phase of ['compiling', 'connecting', 'training', 'validating', 'saving'] as const) {
  t.test(`a pipeline is stopped while it is ${phase}`, async (t) => {
    const runs = new Set<RankRun>();
    let at: number | undefined;
    const change =
      phase === 'saving' ? { totalSteps: 2 } : { validateEverySteps: phase === 'validating' ? 1 : 0 };
    const ranks = await run(plan(change), {
      ...(phase === 'connecting' ? { connect: false } : {}),
      phase: (_rank: number, entered: Phase, each) => {
        runs.add(each);
        if (entered === phase) at ??= performance.now();
        if (at === undefined) return;
        setImmediate(() => {
          for (const other of runs) other.stop('the test says so');
        });
      },
    });
    for (const rank of ranks) t.match(rank, { status: 'rejected', reason: { code: 'stopped' } });
    t.ok(performance.now() - at! < 6000, 'all ranks have left soon');
  });
}

for (const victim of [0, 1, 3]) {
  t.test(`when the compute thread of rank ${victim} dies in a step, the others name that rank`, async (t) => {
    let killed = false;
    let at = 0;
    const ranks = await run(plan(), {
      report: (_rank, message, _run, threads) => {
        if (killed || message.kind !== 'step' || message.numbers.step < 3) return;
        killed = true;
        at = performance.now();
        void threads[victim]!.close(0);
      },
    });
    t.match(ranks[victim], { reason: { code: 'compute_thread_died' } });
    ranks.forEach((rank, i) => {
      if (i === victim) return;
      t.match(rank, { reason: { family: 'peer', message: new RegExp(`rank ${victim}\\b`) } }, `rank ${i}`);
    });
    t.ok(performance.now() - at < 10_000, 'long before the deadline');
  });
}

t.test('a rank that is stopped alone takes the others with it, and each says why', async (t) => {
  const ranks = await run(plan(), {
    report: (_rank, message, each) => {
      if (message.kind === 'step' && message.numbers.step === 3) each.stop('its device is gone');
    },
  });
  t.match(ranks[0], { reason: { code: 'stopped' } });
  for (const rank of ranks.slice(1))
    t.match(rank, { reason: { family: 'peer', message: /rank 0.*its device is gone/ } });
});

t.test('nothing of all that was left unhandled', (t) => {
  t.same(unhandled, []);
  t.end();
});
