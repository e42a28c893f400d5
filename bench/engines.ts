/**
 * The training step of each benchmark model on each engine and device, beside the rate of that engine's own matrix
 * product: one table. Each cell is a process of its own (`dtrain bench step --json`), so that a driver that fails
 * costs one row; rows that a device cannot run say why.
 *
 * usage: node dist/bench/engines.js --models FOLDER [--engines onnxruntime@cpu,gpujs@wasm,...] [--only gpt-small,...]
 *        [--batch 16] [--rounds 3] [--threads 1] [--limit 300] [--json FILE]
 *   FOLDER holds gpt-small.onnx, gpt-100m.onnx (bench/gpt-100m), mlp-wide.onnx or resnet20.onnx; --limit is the most seconds for one row.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { version, type Seconds } from '../base/index.js';
import type { StepBenchResult } from '../worker/bench/index.js';
import { failureOf, run } from './child.js';

const { values: options } = parseArgs({
  options: {
    models: { type: 'string' },
    engines: { type: 'string', default: 'onnxruntime@cpu,gpujs@wasm,gpujs@cpu' },
    only: { type: 'string' },
    batch: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '1' },
    limit: { type: 'string', default: '300' },
    json: { type: 'string' },
  },
});

interface BenchModel {
  readonly name: string;
  readonly batch: number;
  readonly inputs: (batch: number) => readonly string[];
}

const MODELS: readonly BenchModel[] = [
  { name: 'gpt-small', batch: 16, inputs: (batch) => [`input=int64[${batch},64]:65`] },
  { name: 'gpt-100m', batch: 8, inputs: (batch) => [`input=int64[${batch},256]:8192`] },
  { name: 'mlp-wide', batch: 128, inputs: () => [] },
  { name: 'resnet20', batch: 32, inputs: () => [] },
];

interface Row {
  readonly model: string;
  readonly engine: string;
  readonly device: string;
  readonly batch: number;
  readonly result?: StepBenchResult;
  /** Why there is no result. */
  readonly failure?: string;
}

const cli = fileURLToPath(new URL('../cli/main.js', import.meta.url));

/** One `dtrain bench step` in a process of its own. */
async function measure(
  model: BenchModel,
  folder: string,
  engine: string,
  device: string,
  limit: Seconds,
): Promise<Row> {
  const batch = Number(options.batch ?? model.batch);
  const row = { model: model.name, engine, device, batch };
  const command = ['bench', 'step', '--json', '--loss', 'cross_entropy', '--batch', String(batch)];
  command.push('--model', join(folder, `${model.name}.onnx`), '--engine', engine, '--device', device);
  command.push('--seconds', '0', '--rounds', options.rounds, '--threads', options.threads);
  for (const input of model.inputs(batch)) command.push('--input', input);
  const ended = await run(process.execPath, [cli, ...command], limit);
  if (ended.code === 0) return { ...row, result: JSON.parse(ended.stdout) as StepBenchResult };
  return { ...row, failure: failureOf(ended, limit) };
}

function cells({ model, engine, device, batch, result, failure }: Row): string[] {
  const head = [model, String(batch), `${engine} on ${device}`];
  if (!result) return [...head, failure ?? ''];
  const { stepSeconds, forwardSeconds, spread, productFlops, productSize, ratio } = result;
  const { minSeconds, maxSeconds } = spread.forwardAndBackward;
  return [
    ...head,
    ms(stepSeconds),
    ms(forwardSeconds),
    `${ms(minSeconds)} to ${ms(maxSeconds)}`,
    `${(productFlops / 1e9).toPrecision(3)} (${productSize})`,
    ratio.toFixed(2),
  ];
}

const ms = (seconds: Seconds) => `${(seconds * 1000).toPrecision(3)} ms`;

const folder = options.models;
if (folder === undefined) {
  console.error(
    '--models FOLDER is missing: the folder with gpt-small.onnx, mlp-wide.onnx and resnet20.onnx',
  );
  process.exit(2);
}
const only = options.only?.split(',');
const models = MODELS.filter(
  ({ name }) => existsSync(join(folder, `${name}.onnx`)) && (only?.includes(name) ?? true),
);
console.log(
  `dtrain ${version}, node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, load ` +
    `${loadavg()[0]!.toFixed(1)}, ${options.threads} thread(s), ${options.rounds} rounds a row`,
);
console.log(
  'MODEL | BATCH | ENGINE | STEP (median) | FORWARD | FORWARD AND BACKWARD | PRODUCT GFLOP/s (size) | STEP / LIMIT',
);
const rows: Row[] = [];
for (const model of models) {
  for (const pair of options.engines.split(',')) {
    const [engine = '', device = 'cpu'] = pair.split('@');
    const row = await measure(model, folder, engine, device, Number(options.limit));
    rows.push(row);
    console.log(cells(row).join(' | '));
  }
}
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(rows, null, 2)}\n`);
