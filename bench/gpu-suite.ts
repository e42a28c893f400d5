/**
 * Everything that a machine with a GPU can show, in one run: what `dtrain devices` finds, `dtrain gradcheck` of all
 * cases on each engine of the GPU, the training step of the benchmark models and of a GPT with 100 million parameters
 * beside PyTorch on the same GPU, and the memory that a job takes beside its budget. bench/gpu starts it, and can
 * carry it to a bare machine.
 *
 * usage: node dist/bench/gpu-suite.js --fixtures FOLDER --out FOLDER [--engines onnxruntime@webgpu,gpujs@webgpu]
 *        [--cases mlp,gpt] [--budget 8GiB] [--limit 300] [--quick]
 *   FOLDER/models holds gradcheck cases (--cases: these alone), FOLDER/bench the benchmark models. --quick leaves out
 *   the large model and the job, and takes one round: to try the suite on a software driver. Prints a summary;
 *   OUT/gpu.json has everything.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { version, type Seconds } from '../base/index.js';
import { repositoryRoot } from '../test/root.js';
import { failureOf, run } from './child.js';
import { memoryBesideBudget } from './gpu-memory.js';

const { values: options } = parseArgs({
  options: {
    fixtures: { type: 'string' },
    out: { type: 'string', default: 'gpu-suite' },
    engines: { type: 'string', default: 'onnxruntime@webgpu,gpujs@webgpu' },
    cases: { type: 'string' },
    budget: { type: 'string', default: '8GiB' },
    limit: { type: 'string', default: '300' },
    quick: { type: 'boolean', default: false },
  },
});
if (options.fixtures === undefined) {
  console.error(
    '--fixtures FOLDER is missing: the folder with models/ (gradcheck cases) and bench/ (ONNX files)',
  );
  process.exit(2);
}
const fixtures = resolve(options.fixtures);
const out = resolve(options.out);
const limit: Seconds = Number(options.limit);
const engines = options.engines.split(',');
const compiled = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const cli = compiled('../cli/main.js');
mkdirSync(out, { recursive: true });

const dtrain = (...words: string[]) => run(process.execPath, [cli, ...words], limit);

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

interface DevicesAnswer {
  readonly devices: readonly {
    readonly id: string;
    readonly engine: string;
    readonly description?: string;
  }[];
  readonly unavailable?: readonly { readonly id: string; readonly reason: string }[];
}

interface Checked {
  readonly case: string;
  readonly engine: string;
  readonly pass: boolean;
  readonly seconds: Seconds;
  readonly answer: unknown;
  readonly failure?: string;
}

async function checkAll(): Promise<readonly Checked[]> {
  const folder = join(fixtures, 'models');
  const cases = options.cases?.split(',') ?? (existsSync(folder) ? readdirSync(folder).sort() : []);
  const checked: Checked[] = [];
  for (const pair of engines) {
    for (const name of cases) {
      const [engine = '', device = 'webgpu'] = pair.split('@');
      const start = performance.now();
      const ended = await dtrain(
        'gradcheck',
        join(folder, name),
        '--engine',
        engine,
        '--device',
        device,
        '--json',
      );
      const seconds = (performance.now() - start) / 1000;
      const pass = ended.code === 0;
      const failure = pass ? {} : { failure: failureOf(ended, limit) };
      checked.push({ case: name, engine: pair, pass, seconds, answer: parsed(ended.stdout), ...failure });
      console.log(
        `  ${pair} ${name}: ${pass ? 'pass' : (failure.failure ?? 'FAIL')} (${seconds.toFixed(1)} s)`,
      );
    }
  }
  return checked;
}

/** The models' folder, with the large one beside the others. */
async function benchModels(): Promise<string> {
  const folder = join(out, 'models');
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(join(fixtures, 'bench')))
    if (!existsSync(join(folder, name))) symlinkSync(join(fixtures, 'bench', name), join(folder, name));
  if (options.quick) return folder;
  const written = await run(
    process.execPath,
    [compiled('./gpt-100m.js'), join(folder, 'gpt-100m.onnx')],
    limit,
  );
  if (written.code !== 0) console.log(`  gpt-100m was not written: ${failureOf(written, limit)}`);
  return folder;
}

async function steps(folder: string): Promise<unknown> {
  const file = join(out, 'engines.json');
  const words = [
    '--models',
    folder,
    '--engines',
    engines.join(','),
    '--json',
    file,
    '--limit',
    options.limit,
  ];
  words.push('--rounds', options.quick ? '1' : '7');
  if (options.quick) words.push('--batch', '1', '--only', 'gpt-small,mlp-wide');
  const ended = await run(process.execPath, [compiled('./engines.js'), ...words], limit * 4 * engines.length);
  console.log(ended.stdout.trimEnd().replaceAll(/^/gm, '  '));
  return existsSync(file) ? parsed(readFileSync(file, 'utf8')) : failureOf(ended, limit);
}

/** PyTorch's steps on the same GPU, where there is a PyTorch that sees it. */
async function torchSteps(): Promise<unknown> {
  const python = process.env['DTRAIN_PYTHON'] ?? 'python3';
  const script = join(repositoryRoot, 'bench', 'torch-step.py');
  const batches = {
    'gpt-small': '16',
    'mlp-wide': '128',
    resnet20: '32',
    ...(options.quick ? {} : { 'gpt-100m': '8' }),
  };
  const device = options.quick ? 'cpu' : 'cuda';
  const found: Record<string, unknown> = {};
  for (const [name, batch] of Object.entries(batches)) {
    const ended = await run(python, [script, name, batch, options.quick ? '1' : '7', device], limit);
    found[name] = ended.code === 0 ? parsed(ended.stdout) : failureOf(ended, limit);
    const { steps: times } = (found[name] ?? {}) as { readonly steps?: readonly number[] };
    const middle = times && [...times].sort((a, b) => a - b)[times.length >> 1];
    console.log(
      `  PyTorch on ${device}, ${name}: ${middle === undefined ? String(found[name]) : `${(middle * 1000).toFixed(2)} ms`}`,
    );
  }
  return found;
}

console.log(
  `dtrain ${version}, node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
);
const smi = await run(
  'nvidia-smi',
  ['--query-gpu=name,driver_version,memory.total', '--format=csv,noheader'],
  20,
);
console.log(`GPU: ${smi.code === 0 ? smi.stdout.trim() : 'nvidia-smi does not answer'}`);
const devices = await dtrain('devices', '--json');
const found = parsed(devices.stdout) as DevicesAnswer | undefined;
console.log(`devices:${found ? '' : ` ${failureOf(devices, limit)}`}`);
for (const { id, engine, description } of found?.devices ?? [])
  console.log(`  ${id} (${engine}): ${description ?? ''}`);
for (const { id, reason } of found?.unavailable ?? []) console.log(`  not to be had: ${id}: ${reason}`);
console.log('gradcheck:');
const cases = await checkAll();
console.log('steps:');
const models = await benchModels();
const timed = await steps(models);
const torch = await torchSteps();
console.log('memory:');
const memory = options.quick
  ? { lines: ['left out: a software driver would take minutes'] }
  : await memoryBesideBudget(cli, out, options.budget, limit);
for (const line of memory.lines) console.log(`  ${line}`);
const everything = {
  gpu: smi.stdout.trim(),
  devices: parsed(devices.stdout),
  cases,
  steps: timed,
  torch,
  memory,
};
writeFileSync(join(out, 'gpu.json'), `${JSON.stringify(everything, null, 2)}\n`);
const failed = cases.filter(({ pass }) => !pass);
console.log(
  `${cases.length - failed.length} of ${cases.length} cases pass; everything is in ${join(out, 'gpu.json')}`,
);
process.exitCode = failed.length === 0 && cases.length > 0 ? 0 : 1;
