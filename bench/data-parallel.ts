/**
 * One worker against two on this host: samples per second, time from submit to the first step, memory.
 *
 * A whole cluster each time (`dtrain up`), a compute-bound GPT on generated text, one thread a device. Prints the
 * environment, medians over rounds with their spread, and the ratio that counts: two workers over one.
 *
 * usage: node dist/bench/data-parallel.js [ROUNDS]
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatBytes, keyOf, Random } from '../base/index.js';
import { Cluster } from '../examples/demo/cluster.js';
import { repositoryRoot } from '../examples/root.js';

const STEPS = 40;
const BATCH = 32;
const DTRAIN = join(repositoryRoot, 'bin/dtrain');

interface Row {
  readonly step: number;
  readonly seconds: number;
}

interface DeviceReport {
  readonly device: string;
  readonly measuredPeakBytes: number;
  readonly accountedBytes: number;
}

interface Measured {
  readonly samplesPerSecond: number;
  readonly firstStepSeconds: number;
  readonly devices: readonly DeviceReport[];
}

async function main(): Promise<void> {
  const rounds = Number(process.argv[2] ?? 3);
  const folder = mkdtempSync(join(tmpdir(), 'dtrain-bench-'));
  try {
    writeText(folder);
    const results = new Map<number, Measured[]>([
      [1, []],
      [2, []],
    ]);
    for (let round = 0; round < rounds; round++) {
      for (const [workers, list] of results) list.push(await measure(folder, workers));
    }
    print(results);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(folder: string, workers: number): Promise<Measured> {
  const devices = Array.from({ length: workers }, (_, i) => `cpu:${i},memory=2GiB,threads=1`);
  const cluster = await Cluster.start(repositoryRoot, join(folder, `data-${workers}`), devices);
  try {
    const job = writeJob(folder, workers);
    const run = (extra: readonly string[]) =>
      execFileSync(process.execPath, [DTRAIN, 'submit', job, '--coordinator', cluster.url, ...extra], {
        stdio: ['ignore', 'pipe', 'ignore'],
        encoding: 'utf8',
      });
    run(['--follow', '--set', 'steps=2']); // a warm cluster: artifacts are there, the engine has compiled once
    const firstStepSeconds = await firstStep(job, cluster.url);
    const output = join(folder, `out-${workers}`);
    const rows = readFileSync(join(output, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Row);
    const report = JSON.parse(readFileSync(join(output, 'report.json'), 'utf8')) as {
      devices: readonly DeviceReport[];
    };
    // the first steps allocate; the rest is the steady state
    const from = rows.find((row) => row.step === STEPS / 4)!;
    const to = rows.find((row) => row.step === STEPS)!;
    return {
      samplesPerSecond: (BATCH * (to.step - from.step)) / (to.seconds - from.seconds),
      firstStepSeconds,
      devices: report.devices,
    };
  } finally {
    await cluster.stop();
  }
}

/** Runs the job and tells the seconds from the start of `dtrain submit` to the first step, as REST shows it. */
async function firstStep(job: string, url: string): Promise<number> {
  const start = performance.now();
  const submit = spawn(process.execPath, [DTRAIN, 'submit', job, '--coordinator', url], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const id = await new Promise<string>((resolve) =>
    submit.stdout.setEncoding('utf8').on('data', (text: string) => resolve(text.trim())),
  );
  let first: number | undefined;
  for (;;) {
    const { state, step } = (await (await fetch(`${url}/v1/jobs/${id}`)).json()) as {
      state: string;
      step: number;
    };
    if (step > 0) first ??= (performance.now() - start) / 1000;
    if (state === 'succeeded' && first !== undefined) return first;
    if (state === 'failed' || state === 'cancelled') throw new RangeError(`job ${id} ended as ${state}`);
    await new Promise((resolve) => setTimeout(resolve, first === undefined ? 25 : 250));
  }
}

function writeJob(folder: string, workers: number): string {
  const path = join(folder, `job-${workers}.json`);
  const job = {
    name: `bench ${workers}`,
    model: 'model.mjs',
    data: { train: { format: 'text', path: 'text.txt', tokens: 'char', context: 64 } },
    loss: 'cross_entropy',
    optimizer: { kind: 'adamw', lr: 0.0003 },
    batch: BATCH,
    steps: STEPS,
    output: `out-${workers}`,
  };
  writeFileSync(path, JSON.stringify(job));
  return path;
}

function writeText(folder: string): void {
  const random = new Random(keyOf('bench'));
  const letters = Array.from({ length: 64 }, (_, i) => String.fromCharCode(48 + i));
  writeFileSync(
    join(folder, 'text.txt'),
    letters.join('') + Array.from({ length: 200_000 }, () => letters[random.below(64)]!).join(''),
  );
  const nn = new URL('../graph/nn/index.js', import.meta.url);
  const model = 'gpt({ vocabulary: 64, context: 64, width: 256, heads: 4, layers: 4, seed: 1 })';
  writeFileSync(
    join(folder, 'model.mjs'),
    `import { gpt } from ${JSON.stringify(fileURLToPath(nn))};\nexport default ${model};\n`,
  );
}

function print(results: ReadonlyMap<number, readonly Measured[]>): void {
  const [cpu] = cpus();
  console.log(`${cpu?.model ?? 'unknown CPU'}, ${cpus().length} cores, Node ${process.version}`);
  console.log(`GPT of 3.2 M parameters, context 64, batch ${BATCH}, one thread a worker, ${STEPS} steps`);
  const rates = new Map<number, number>();
  for (const [workers, list] of results) {
    const rate = spread(list.map((measured) => measured.samplesPerSecond));
    const first = spread(list.map((measured) => measured.firstStepSeconds));
    rates.set(workers, rate.median);
    console.log(
      `${workers} worker${workers > 1 ? 's' : ''}: ${text(rate, 1)} samples/s; submit to first step ${text(first, 2)} s`,
    );
    for (const { device, measuredPeakBytes, accountedBytes } of list.at(-1)!.devices) {
      const ratio = (measuredPeakBytes / accountedBytes).toFixed(2);
      console.log(
        `  ${device}: peak ${formatBytes(measuredPeakBytes)}, accounted ${formatBytes(accountedBytes)} (${ratio})`,
      );
    }
  }
  console.log(
    `two workers over one: ${(rates.get(2)! / rates.get(1)!).toFixed(2)} (aim: at least 1.6 on two cores)`,
  );
}

function spread(values: readonly number[]) {
  const sorted = [...values].sort((a, b) => a - b);
  return { least: sorted[0]!, median: sorted[sorted.length >> 1]!, most: sorted.at(-1)! };
}

function text({ least, median, most }: ReturnType<typeof spread>, digits: number): string {
  return `${median.toFixed(digits)} (${least.toFixed(digits)} to ${most.toFixed(digits)})`;
}

await main();
