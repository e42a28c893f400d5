/**
 * Devices of unequal speed together against the sum of what each does alone: samples per second of every device in a cluster
 * of its own, then of all of them as replicas of one job, the shares that the planner gave them, and where the rest went.
 * Devices are throttled by resting; their speeds together should leave some of the host's cores for the processes around them.
 *
 * The job is timed first (`profile: true`), and each cluster trains it `--rounds` times: later plans use what was learned.
 *
 * usage: node dist/bench/unequal.js [--speeds 1,0.5] [--batch 48] [--steps 30] [--rounds 2] [--width 256]
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatSeconds, median, type Seconds } from '../base/index.js';
import { Cluster } from '../examples/demo/cluster.js';
import { repositoryRoot } from '../examples/root.js';
import type { MetricRow, Report } from '../protocol/index.js';
import { fromChromeTrace, type TraceEvent } from '../scheduler/index.js';
import { writeText } from './data.js';

const DTRAIN = join(repositoryRoot, 'bin/dtrain');

interface Settings {
  readonly folder: string;
  readonly batch: number;
  readonly steps: number;
  readonly rounds: number;
}

interface Measured {
  readonly samplesPerSecond: number;
  readonly report: Report;
  readonly events: readonly TraceEvent[];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      speeds: { type: 'string', default: '1,0.5' },
      batch: { type: 'string', default: '48' },
      steps: { type: 'string', default: '30' },
      rounds: { type: 'string', default: '2' },
      width: { type: 'string', default: '256' },
    },
  });
  const speeds = values.speeds.split(',').map(Number);
  const folder = mkdtempSync(join(tmpdir(), 'dtrain-bench-'));
  const settings = {
    folder,
    batch: Number(values.batch),
    steps: Number(values.steps),
    rounds: Number(values.rounds),
  };
  try {
    writeModel(folder, Number(values.width));
    console.log(
      `${cpus()[0]!.model}, ${availableParallelism()} cores, Node ${process.versions.node}, load ${loadavg()[0]!.toFixed(1)}`,
    );
    console.log(
      `GPT of 4 layers, width ${values.width}, context 64; batch ${settings.batch}, ${settings.steps} steps, best of ${settings.rounds} rounds`,
    );
    const alone: number[] = [];
    for (const speed of speeds) {
      const { samplesPerSecond, report } = await best(settings, [speed]);
      alone.push(samplesPerSecond);
      console.log(
        `speed ${speed} alone: ${samplesPerSecond.toFixed(2)} samples/s, step ${formatSeconds(report.measuredStepSeconds)}`,
      );
    }
    const together = await best(settings, speeds);
    print(settings, alone, together);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The fastest of some runs on devices of these speeds: whatever else the host does only ever slows one down. */
async function best(settings: Settings, speeds: readonly number[]): Promise<Measured> {
  const name = speeds.join('-');
  const devices = speeds.map((speed, i) => `cpu:${i},memory=2GiB,threads=1,speed=${speed}`);
  const cluster = await Cluster.start(repositoryRoot, join(settings.folder, `data-${name}`), devices);
  try {
    const rounds = Array.from({ length: settings.rounds }, () =>
      train(settings, cluster.url, name, speeds.length),
    );
    return rounds.reduce((a, b) => (b.samplesPerSecond > a.samplesPerSecond ? b : a));
  } finally {
    await cluster.stop();
  }
}

function train({ folder, batch, steps }: Settings, url: string, name: string, count: number): Measured {
  const file = join(folder, `job-${name}.json`);
  const job = {
    name: `unequal ${name}`,
    model: 'model.mjs',
    data: { train: { format: 'text', path: 'text.txt', tokens: 'char', context: 64 } },
    loss: 'cross_entropy',
    optimizer: { kind: 'adamw', lr: 0.0003 },
    batch,
    steps,
    profile: true,
    parallelism: { data: count, pipeline: 1 },
    output: `out-${name}`,
  };
  writeFileSync(file, JSON.stringify(job));
  execFileSync(process.execPath, [DTRAIN, 'submit', file, '--follow', '--coordinator', url], {
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  const read = (path: string) => readFileSync(join(folder, `out-${name}`, path), 'utf8');
  const rows = read('metrics.jsonl')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as MetricRow);
  // the first steps allocate; the rest is the steady state
  const [from, to] = [rows[Math.floor(rows.length / 4)]!, rows.at(-1)!];
  return {
    samplesPerSecond: (batch * (to.step - from.step)) / (to.seconds! - from.seconds!),
    report: JSON.parse(read('report.json')) as Report,
    events: fromChromeTrace(JSON.parse(read('trace.json'))).events,
  };
}

function print({ batch }: Settings, alone: readonly number[], together: Measured): void {
  const { report, samplesPerSecond, events } = together;
  const sum = alone.reduce((total, rate) => total + rate, 0);
  const step = batch / samplesPerSecond;
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  console.log(
    `together: ${samplesPerSecond.toFixed(2)} samples/s of ${sum.toFixed(2)}: ${percent(samplesPerSecond / sum)}`,
  );
  console.log('device | samples | its share | by speed alone | computing a step | as it would alone');
  report.devices.forEach(({ device, samplesPerStep, measuredBusySeconds }, i) => {
    const fair = alone[i]! / sum;
    console.log(
      [
        device,
        `${samplesPerStep} of ${batch}`,
        percent(samplesPerStep / batch),
        percent(fair),
        formatSeconds(measuredBusySeconds),
        formatSeconds(samplesPerStep / alone[i]!),
      ].join(' | '),
    );
  });
  const busiest = Math.max(...report.devices.map(({ measuredBusySeconds }) => measuredBusySeconds));
  const rounded = Math.max(
    ...report.devices.map(({ samplesPerStep }, rank) => samplesPerStep / alone[rank]!),
  );
  const after = exchangeSeconds(events);
  console.log(
    `a step takes ${formatSeconds(step)}; ${formatSeconds(batch / sum)} if nothing were lost, ` +
      `${formatSeconds(rounded)} with shares of whole samples as they are`,
  );
  console.log(
    `the busiest device computes for ${formatSeconds(busiest)}; ${formatSeconds(step - busiest)} are left to exchanging ` +
      `gradients, the update and waiting (${formatSeconds(after)} from the last device's last gradient to the next step)`,
  );
}

/** From when the device that computes longest is done to when it begins the next step: the median over steps. */
function exchangeSeconds(events: readonly TraceEvent[]): Seconds {
  const steps = [...new Set(events.map(({ step }) => step))].sort((a, b) => a - b);
  const ranks = [...new Set(events.map(({ rank }) => rank))];
  const gaps = steps.slice(0, -1).map((step) =>
    Math.min(
      ...ranks.map((rank) => {
        const of = (number: number) => events.filter((e) => e.rank === rank && e.step === number);
        const end = Math.max(...of(step).map((event) => event.end));
        return Math.min(...of(step + 1).map((event) => event.start)) - end;
      }),
    ),
  );
  return gaps.length === 0 ? 0 : median(gaps);
}

function writeModel(folder: string, width: number): void {
  writeText(folder, 'text.txt', 64, 200_000);
  const nn = new URL('../graph/nn/index.js', import.meta.url);
  const model = `gpt({ vocabulary: 64, context: 64, width: ${width}, heads: 4, layers: 4, seed: 1 })`;
  writeFileSync(
    join(folder, 'model.mjs'),
    `import { gpt } from ${JSON.stringify(fileURLToPath(nn))};\nexport default ${model};\n`,
  );
}

await main();
