/**
 * Plans against runs: for models and layouts (stages, replicas, schedules, recomputation, optimizer sharded or not), the
 * step and the peak memory that the plan predicted beside what was measured, and the bubble of the simulated and of the real
 * timeline beside the published formula. A whole cluster on this host for each number of devices; devices are throttled so
 * that they do not compete for its cores. The first job of a model has it timed; every layout runs twice, and the second plan
 * uses what was learned from the first.
 *
 * usage: node dist/bench/pipelines.js [--models FOLDER] [--only TEXT] [--once]
 *   FOLDER holds gpt-small.onnx and resnet20.onnx; without it the small fixtures of the tests are trained alone
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { formatBytes, formatSeconds } from '../base/index.js';
import { Cluster } from '../examples/demo/cluster.js';
import { repositoryRoot } from '../examples/root.js';
import type { Report } from '../protocol/index.js';
import { bubbleOf, fromChromeTrace, ranksOf, timelineOf, type Plan } from '../scheduler/index.js';
import { writeImages, writeText } from './data.js';

const DTRAIN = join(repositoryRoot, 'bin/dtrain');
const STEPS = 24;
const MICRO_BATCHES = 4;

interface Layout {
  readonly name: string;
  /** Speeds of the devices: one each. */
  readonly speeds: readonly number[];
  readonly parallelism: Readonly<Record<string, unknown>>;
  /** The published bubble of p pipeline ranks and m micro-batches with equal stages. */
  readonly formula?: number;
}

const [p, m] = [2, MICRO_BATCHES];
const two = [0.5, 0.5];
const four = [0.25, 0.25, 0.25, 0.25];
const pipeline = (stages: number, change: Layout['parallelism'] = {}): Layout['parallelism'] => ({
  pipeline: stages,
  microBatches: MICRO_BATCHES,
  schedule: '1f1b',
  ...change,
});
const LAYOUTS: readonly Layout[] = [
  { name: 'one device', speeds: [0.5], parallelism: { data: 1, pipeline: 1, microBatches: 1 } },
  { name: '2 replicas', speeds: two, parallelism: { data: 2, pipeline: 1, microBatches: 1 } },
  { name: '2 replicas, uneven', speeds: [0.5, 0.25], parallelism: { data: 2, pipeline: 1, microBatches: 1 } },
  { name: '2 stages, 1f1b', speeds: two, parallelism: pipeline(2), formula: (p - 1) / (m + p - 1) },
  {
    name: '2 stages, gpipe',
    speeds: two,
    parallelism: pipeline(2, { schedule: 'gpipe' }),
    formula: (p - 1) / (m + p - 1),
  },
  {
    name: '2 stages x 2, interleaved',
    speeds: two,
    parallelism: pipeline(2, { schedule: 'interleaved', stagesPerRank: 2 }),
    formula: (p - 1) / 2 / (m + (p - 1) / 2),
  },
  {
    name: '2 stages, zero-bubble',
    speeds: two,
    parallelism: pipeline(2, { schedule: 'zero-bubble' }),
    formula: (p - 1) / (3 * m + (p - 1)),
  },
  { name: '2 stages, recomputing', speeds: two, parallelism: pipeline(2, { recompute: true }) },
  {
    name: '2 replicas, optimizer not sharded',
    speeds: two,
    parallelism: { data: 2, pipeline: 1, microBatches: 1, shardOptimizer: false },
  },
  { name: '4 stages, 1f1b', speeds: four, parallelism: pipeline(4), formula: 3 / (m + 3) },
  { name: '2 stages x 2 replicas', speeds: four, parallelism: pipeline(2, { data: 2 }) },
  {
    name: '2 stages x 2 replicas, not sharded',
    speeds: four,
    parallelism: pipeline(2, { data: 2, shardOptimizer: false }),
  },
];

interface Outcome {
  readonly report: Report;
  readonly bubble: number;
  readonly simulated: number;
}

function main(): Promise<void> {
  const { values } = parseArgs({
    options: { models: { type: 'string' }, only: { type: 'string' }, once: { type: 'boolean' } },
  });
  console.log(
    `${cpus()[0]!.model}, ${availableParallelism()} cores, Node ${process.versions.node}, load ${loadavg()[0]!.toFixed(1)}`,
  );
  const folder = mkdtempSync(join(tmpdir(), 'dtrain-bench-'));
  return all(folder, values).finally(() => rmSync(folder, { recursive: true, force: true }));
}

async function all(
  folder: string,
  options: { models?: string | undefined; only?: string | undefined; once?: boolean | undefined },
): Promise<void> {
  const jobs = jobsIn(folder, options.models);
  const wanted = LAYOUTS.flatMap((layout) =>
    jobs.map((job) => ({ layout, job, label: `${job.name}, ${layout.name}` })),
  ).filter(({ label }) => options.only === undefined || label.includes(options.only));
  const speedsOf = (layout: Layout) => layout.speeds.join();
  console.log(
    '\nlayout | step predicted | measured | predicted / measured | peak predicted / measured, by device | bubble simulated | real | formula',
  );
  for (const speeds of new Set(wanted.map(({ layout }) => speedsOf(layout)))) {
    const runs = wanted.filter(({ layout }) => speedsOf(layout) === speeds);
    const devices = speeds.split(',').map((speed, i) => `cpu:${i},memory=2GiB,threads=1,speed=${speed}`);
    const cluster = await Cluster.start(repositoryRoot, join(folder, `data-${speeds}`), devices);
    try {
      for (const { layout, job, label } of runs) {
        for (let run = 0; run < (options.once ? 1 : 2); run++) {
          print(`${label}${run > 0 ? ', again' : ''}`, layout, train(cluster, job.file, layout, folder));
        }
      }
    } finally {
      await cluster.stop();
    }
  }
}

/** Job files with data made up for them. */
function jobsIn(folder: string, models: string | undefined): readonly { name: string; file: string }[] {
  const fixtures = join(repositoryRoot, 'test/fixtures/models');
  const texts = {
    small: writeText(folder, 'small.txt', 65, 20_000),
    large: writeText(folder, 'large.txt', 65, 80_000),
  };
  const adam = { kind: 'adamw', lr: 0.0003 };
  const sgd = { kind: 'sgd', lr: 0.02, momentum: 0.9 };
  const text = (path: string, context: number) => ({ format: 'text', path, tokens: 'char', context });
  const images = (side: number) => ({ format: 'npy', ...writeImages(folder, side, 512) });
  const jobs = [
    {
      name: 'gpt',
      model: join(fixtures, 'gpt/model.onnx'),
      batch: 16,
      optimizer: adam,
      train: text(texts.small, 16),
    },
    {
      name: 'gpt-tied',
      model: join(fixtures, 'gpt-tied/model.onnx'),
      batch: 16,
      optimizer: adam,
      train: text(texts.small, 16),
    },
    {
      name: 'resnet',
      model: join(fixtures, 'resnet/model.onnx'),
      batch: 16,
      optimizer: sgd,
      train: images(16),
    },
    ...(models === undefined
      ? []
      : [
          {
            name: 'gpt-small',
            model: join(models, 'gpt-small.onnx'),
            batch: 16,
            optimizer: adam,
            train: text(texts.large, 64),
          },
          {
            name: 'resnet20',
            model: join(models, 'resnet20.onnx'),
            batch: 32,
            optimizer: sgd,
            train: images(32),
          },
        ]),
  ];
  return jobs
    .filter(({ model }) => existsSync(model))
    .map(({ name, model, batch, optimizer, train }) => {
      const file = join(folder, `${name}.json`);
      const job = {
        name,
        model,
        batch,
        optimizer,
        data: { train },
        loss: 'cross_entropy',
        steps: STEPS,
        profile: true,
        output: `out-${name}`,
      };
      writeFileSync(file, JSON.stringify(job));
      return { name, file };
    });
}

function train(cluster: Cluster, file: string, { parallelism }: Layout, folder: string): Outcome {
  const set = ['--set', `parallelism=${JSON.stringify(parallelism)}`];
  execFileSync(process.execPath, [DTRAIN, 'submit', file, '--follow', '--coordinator', cluster.url, ...set], {
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  const { output } = JSON.parse(readFileSync(file, 'utf8')) as { output: string };
  const read = (name: string): unknown => JSON.parse(readFileSync(join(folder, output, name), 'utf8'));
  const real = fromChromeTrace(read('trace.json')).events;
  const simulated = timelineOf(read('plan.json') as Plan).events;
  return {
    report: read('report.json') as Report,
    bubble: bubbleOf(real, ranksOf(real)).bubble,
    simulated: bubbleOf(simulated, ranksOf(simulated)).bubble,
  };
}

function print(label: string, { formula }: Layout, { report, bubble, simulated }: Outcome): void {
  const { predictedStepSeconds: predicted, measuredStepSeconds: measured, devices } = report;
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const peaks = devices.map(
    ({ predictedPeakBytes, measuredPeakBytes }) =>
      `${formatBytes(predictedPeakBytes)} ${(predictedPeakBytes / measuredPeakBytes).toFixed(2)}`,
  );
  console.log(
    [
      label,
      formatSeconds(predicted),
      formatSeconds(measured),
      (predicted / measured).toFixed(2),
      peaks.join(', '),
      percent(simulated),
      percent(bubble),
      formula === undefined ? '' : percent(formula),
    ].join(' | '),
  );
}

await main();
