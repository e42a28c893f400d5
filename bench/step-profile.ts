/**
 * Where a training step's time goes: forward and backward pass of a model in onnxruntime on one thread, beside
 * the arithmetic limit (its products at the rate of a 1024^3 product measured in the same
 * run) and, with --torch, beside PyTorch's step of the same model (bench/torch-step.py knows gpt-small, mlp-wide and
 * resnet20, by the file's name) in the interpreter DTRAIN_PYTHON (default: the system's).
 *
 * usage: node dist/bench/step-profile.js MODEL.onnx [--batch 16] [--loss cross_entropy] [--runs 15] [--torch]
 *        [--profile [--nodes 40]]
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import * as ort from 'onnxruntime-node';
import { median } from '../base/index.js';
import {
  byteLengthOf,
  buildEvaluationGraph,
  buildTrainingGraph,
  emptyData,
  GraphBuilder,
  LOSS_SCALE,
  loadModel,
  peakActivationBytes,
  sizeOf,
  standardOperators,
  writeTypedGraph,
  type LossKind,
  type TensorData,
  type TensorType,
  type TypedGraph,
} from '../graph/index.js';
import { repositoryRoot } from '../test/root.js';
import { stepFlopsOf } from '../scheduler/index.js';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    batch: { type: 'string', default: '16' },
    loss: { type: 'string', default: 'cross_entropy' },
    runs: { type: 'string', default: '15' },
    torch: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    nodes: { type: 'string', default: '40' },
  },
});

const sessionOptions: ort.InferenceSession.SessionOptions = {
  executionProviders: ['cpu'],
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
};

/** Deterministic small numbers; ids for integers. */
function fill({ dtype, shape }: TensorType, below: number): TensorData {
  const data = emptyData(dtype, sizeOf(shape));
  for (let i = 0; i < data.length; i++) {
    const noise = Math.sin(i * 12.9898) * 43758.5453;
    const uniform = noise - Math.floor(noise);
    if (data instanceof BigInt64Array || data instanceof BigUint64Array)
      data[i] = BigInt(Math.floor(uniform * below));
    else data[i] = uniform - 0.5;
  }
  return data;
}

function tensor(type: TensorType, data: TensorData): ort.Tensor {
  return new ort.Tensor(type.dtype as 'float32', data as Float32Array, type.shape);
}

/** A compiled graph with its inputs, and buffers for its outputs. */
class Measured {
  readonly seconds: number[] = [];

  private constructor(
    readonly session: ort.InferenceSession,
    private readonly feeds: Record<string, ort.Tensor>,
    private readonly fetches: Record<string, ort.Tensor>,
  ) {}

  static async compile(graph: TypedGraph, feeds: Record<string, ort.Tensor>, extra = {}): Promise<Measured> {
    const session = await ort.InferenceSession.create(writeTypedGraph(graph), {
      ...sessionOptions,
      ...extra,
    });
    const fetches: Record<string, ort.Tensor> = {};
    for (const name of graph.outputs) {
      const type = graph.types.get(name)!;
      fetches[name] = tensor(type, emptyData(type.dtype, sizeOf(type.shape)));
    }
    return new Measured(session, feeds, fetches);
  }

  async run(): Promise<void> {
    const start = performance.now();
    await this.session.run(this.feeds, this.fetches);
    this.seconds.push((performance.now() - start) / 1000);
  }
}

/** A float32 product of two n x n matrices. */
async function compileProduct(n: number): Promise<Measured> {
  const builder = new GraphBuilder(standardOperators);
  const type: TensorType = { dtype: 'float32', shape: [n, n] };
  const [a, b] = [builder.input('a', type), builder.input('b', type)];
  const graph = builder.build('product', [builder.one('MatMul', [a, b])]);
  return Measured.compile(graph, { a: tensor(type, fill(type, 1)), b: tensor(type, fill(type, 1)) });
}

/** Kernel milliseconds (the best of all runs, node by node) by operator and by node, from onnxruntime's own profile. */
function readProfile(folder: string): void {
  const file = readdirSync(folder).find((name) => name.endsWith('.json'));
  if (file === undefined) return;
  interface Event {
    readonly cat: string;
    readonly name: string;
    readonly dur: number;
    readonly args?: { readonly op_name?: string; readonly input_type_shape?: unknown };
  }
  const events = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Event[];
  const samples = new Map<string, { operator: string; shapes: string; ms: number[] }>();
  for (const { cat, name, dur, args } of events) {
    if (cat !== 'Node' || !name.endsWith('_kernel_time') || args?.op_name === undefined) continue;
    const shapes = JSON.stringify(args.input_type_shape);
    const found = samples.get(name) ?? { operator: args.op_name, shapes, ms: [] };
    found.ms.push(dur / 1000);
    samples.set(name, found);
  }
  const nodes = [...samples].map(([name, { operator, shapes, ms }]) => ({
    name,
    operator,
    shapes,
    ms: Math.min(...ms),
  }));
  const byOperator = new Map<string, { ms: number; count: number }>([['all', { ms: 0, count: 0 }]]);
  for (const { operator, ms } of nodes.flatMap((node) => [node, { ...node, operator: 'all' }])) {
    const known = byOperator.get(operator) ?? { ms: 0, count: 0 };
    byOperator.set(operator, { ms: known.ms + ms, count: known.count + 1 });
  }
  for (const [name, { ms, count }] of [...byOperator].sort((a, b) => b[1].ms - a[1].ms).slice(0, 30)) {
    console.log(`${ms.toFixed(2).padStart(9)} ms  ${count.toFixed(0).padStart(4)} x ${name}`);
  }
  console.log('');
  for (const { name, operator, shapes, ms } of nodes
    .sort((a, b) => b.ms - a.ms)
    .slice(0, Number(options.nodes))) {
    console.log(
      `${ms.toFixed(3).padStart(9)} ms  ${operator} ${name.replace('_kernel_time', '')}  ${shapes}`,
    );
  }
}

const [path] = positionals;
if (path === undefined) {
  console.error('usage: step-profile MODEL.onnx [--batch N] [--loss KIND] [--runs N] [--profile]');
  process.exit(2);
}
const batch = Number(options.batch);
const runs = Number(options.runs);
const { graph } = await loadModel(path);
const training = buildTrainingGraph(graph, { batch, loss: options.loss as LossKind });
const typed = training.graph;
const feeds: Record<string, ort.Tensor> = {};
for (const name of typed.inputs) {
  const type = typed.types.get(name)!;
  const data = name === LOSS_SCALE ? new Float32Array([1]) : fill(type, 10);
  feeds[name] = tensor(type, data);
}
let parameters = 0;
for (const name of typed.parameters.keys()) {
  const initial = graph.parameters.get(name)!;
  parameters += sizeOf(initial.shape);
  feeds[name] = tensor(initial, initial.data);
}
const flops = stepFlopsOf(buildEvaluationGraph(graph, { batch, loss: options.loss as LossKind }).graph);
console.log(
  `${cpus()[0]?.model ?? 'unknown processor'}, one thread, onnxruntime ${ort.env.versions.node ?? ''}`,
);
console.log(
  `${typed.nodes.length} nodes, ${parameters} parameters, ${(flops / 1e9).toFixed(2)} GFLOP a step`,
);

/** Prints the medians and the best of two series, and how far a step is from the limit. */
function report(who: string, products: readonly number[], steps: readonly number[]): void {
  const ms = (seconds: number) => `${(seconds * 1e3).toFixed(1)} ms`;
  const rate = (seconds: number) => `${((2 * 1024 ** 3) / seconds / 1e9).toFixed(1)} GFLOP/s`;
  for (const [what, of] of [
    ['median', median],
    ['best', (values: readonly number[]) => Math.min(...values)],
  ] as const) {
    const [product, step] = [of(products), of(steps)];
    const limit = (flops * product) / (2 * 1024 ** 3);
    console.log(
      `${who}: ${what} step ${ms(step)}, 1024^3 product ${ms(product)} (${rate(product)}), limit ${ms(limit)}, ratio ${(step / limit).toFixed(2)}`,
    );
  }
}

interface Peer {
  readonly version: string;
  readonly parameters: number;
  readonly products: readonly number[];
  readonly steps: readonly number[];
}

function runTorch(): Peer {
  const script = join(repositoryRoot, 'bench', 'torch-step.py');
  const python = process.env['DTRAIN_PYTHON'] ?? '/usr/bin/python3';
  const { status, stdout, stderr } = spawnSync(
    python,
    [script, basename(path!, '.onnx'), String(batch), String(runs)],
    { encoding: 'utf8' },
  );
  if (status !== 0) {
    console.error(`skipped: ${python} ${script} failed: ${stderr}`);
    process.exit(1);
  }
  return JSON.parse(stdout) as Peer;
}

// one after the other in turn, so that whatever else the machine does slows both
const product = await compileProduct(1024);
const step = await Measured.compile(typed, feeds);
const before = process.memoryUsage().rss;
await step.run();
const gradients = typed.outputs.reduce((sum, name) => sum + byteLengthOf(typed.types.get(name)!), 0);
const taken = process.memoryUsage().rss - before;
const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
console.log(
  `activations and gradients (${mib(gradients)}): liveness allows ${mib(peakActivationBytes(typed))}, the first step took ${mib(taken)}`,
);
for (let run = 0; run < runs + 2; run++) {
  await product.run();
  await step.run();
}
const [products, steps] = [product, step].map(({ seconds }) => seconds.slice(2)) as [number[], number[]];
report('dtrain', products, steps);
await product.session.release();
await step.session.release();

if (options.torch) {
  const peer = runTorch();
  report(`PyTorch ${peer.version} (${peer.parameters} parameters)`, peer.products, peer.steps);
  console.log(
    `dtrain / PyTorch: median ${(median(steps) / median(peer.steps)).toFixed(2)}, best ${(Math.min(...steps) / Math.min(...peer.steps)).toFixed(2)}`,
  );
}

if (options.profile) {
  const folder = mkdtempSync(join(tmpdir(), 'step-profile-'));
  const profiled = { enableProfiling: true, profileFilePrefix: join(folder, 'run') };
  const again = await Measured.compile(typed, feeds, profiled);
  for (let run = 0; run < runs; run++) await again.run();
  again.session.endProfiling();
  readProfile(folder);
  rmSync(folder, { recursive: true });
}
