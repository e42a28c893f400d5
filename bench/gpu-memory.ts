import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeText } from './data.js';
import { failureOf, run } from './child.js';
import type { Seconds } from '../base/index.js';

/** What a training job took of a GPU with a budget. */
export interface MemoryBesideBudget {
  /** For people. */
  readonly lines: readonly string[];
  /** MiB in use on the GPU, as nvidia-smi says: before the job, and the most while it ran. Absent without nvidia-smi. */
  readonly usedBefore?: number;
  readonly usedPeak?: number;
  /** `report.json` of the job. */
  readonly report?: unknown;
}

const EVERY_MILLISECONDS = 500;

/** Trains a small GPT on `webgpu:0` with a budget, and watches the GPU meanwhile. */
export async function memoryBesideBudget(
  cli: string,
  out: string,
  budget: string,
  limit: Seconds,
): Promise<MemoryBesideBudget> {
  const folder = join(out, 'memory-job');
  mkdirSync(folder, { recursive: true });
  writeText(folder, 'train.txt', 65, 60_000);
  const job = {
    name: 'memory',
    model: 'model.onnx',
    data: { train: { format: 'text', path: 'train.txt', tokens: 'char', context: 64 } },
    loss: 'cross_entropy',
    optimizer: { kind: 'adamw', lr: 0.001 },
    batch: 16,
    steps: 30,
    output: 'result',
  };
  const model = join(out, 'models', 'gpt-small.onnx');
  if (!existsSync(model)) return { lines: [`${model} is missing: no job was run`] };
  writeFileSync(join(folder, 'job.yaml'), JSON.stringify({ ...job, model }));
  const up = spawn(
    process.execPath,
    [cli, 'up', '--http', '0', '--data-dir', join(folder, 'data'), '--device', `webgpu:0,memory=${budget}`],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const ended = new Promise<void>((resolve) => up.on('close', () => resolve()));
  try {
    const url = await addressOf(up.stderr.setEncoding('utf8'), ended);
    if (url === undefined) return { lines: [`dtrain up --device webgpu:0,memory=${budget} did not come up`] };
    const usedBefore = await usedMebibytes();
    let usedPeak = usedBefore;
    const sampler = setInterval(() => {
      void usedMebibytes().then((used) => {
        if (used !== undefined) usedPeak = Math.max(usedPeak ?? 0, used);
      });
    }, EVERY_MILLISECONDS);
    const submitted = await run(
      process.execPath,
      [cli, 'submit', join(folder, 'job.yaml'), '--follow', '--coordinator', url],
      limit,
    );
    clearInterval(sampler);
    const file = join(folder, 'result', 'report.json');
    const report: unknown = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
    const lines =
      submitted.code === 0
        ? [`a GPT of 3.2 M parameters trained for 30 steps on webgpu:0 with a budget of ${budget}`]
        : [`the job failed: ${failureOf(submitted, limit)}`];
    if (usedBefore !== undefined && usedPeak !== undefined)
      lines.push(`the GPU had ${usedBefore} MiB in use before, at most ${usedPeak} MiB during the job`);
    return {
      lines,
      ...(usedBefore === undefined ? {} : { usedBefore }),
      ...(usedPeak === undefined ? {} : { usedPeak }),
      ...(report === undefined ? {} : { report }),
    };
  } finally {
    up.kill('SIGTERM');
    await ended;
  }
}

/** The REST address that `dtrain up` prints; undefined where it ended before. */
function addressOf(stderr: NodeJS.ReadableStream, ended: Promise<void>): Promise<string | undefined> {
  return new Promise((resolve) => {
    let said = '';
    stderr.on('data', (text: string) => {
      said = (said + text).slice(-8000);
      const found = /REST on (\S+?),/.exec(said);
      if (found) resolve(found[1]);
    });
    void ended.then(() => resolve(undefined));
  });
}

async function usedMebibytes(): Promise<number | undefined> {
  const asked = await run('nvidia-smi', ['--query-gpu=memory.used', '--format=csv,noheader,nounits'], 10);
  const used = Number(asked.stdout.split('\n')[0]);
  return asked.code === 0 && Number.isFinite(used) ? used : undefined;
}
