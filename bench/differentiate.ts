/**
 * How long it takes to make a training graph, and how that grows: reading ONNX bytes, binding shapes, building
 * (buildTrainingGraph: bind, write composite operators out, simplify, differentiate, tidy), writing ONNX and compiling
 * in onnxruntime, for models of growing numbers of forward nodes. An exponent is the slope of log seconds over log
 * nodes by least squares: 1 is linear.
 *
 * usage: node dist/bench/differentiate.js [--nodes 500,1000,2000,4000,8000] [--models mlp,gpt,lstm] [--rounds 3]
 *        [--no-compile] [--json]
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import * as ort from 'onnxruntime-node';
import { median } from '../base/index.js';
import {
  attribute,
  bindGraph,
  buildTrainingGraph,
  readModel,
  sizeOf,
  writeGraph,
  writeTypedGraph,
  type Binding,
  type Graph,
  type LossKind,
  type Tensor,
} from '../graph/index.js';
import { gpt, linear, model, relu, sequential, tensor } from '../graph/nn/index.js';

const { values: options } = parseArgs({
  options: {
    nodes: { type: 'string', default: '500,1000,2000,4000,8000' },
    models: { type: 'string', default: 'mlp,gpt,lstm' },
    rounds: { type: 'string', default: '3' },
    'no-compile': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

interface Subject {
  readonly graph: Graph;
  readonly binding: Binding;
  readonly loss: LossKind;
}

const WIDTH = 16;

function filled(shape: readonly number[]): Tensor {
  const data = Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(i) * 0.1);
  return { dtype: 'float32', shape, data };
}

/** One LSTM node over so many steps that its unrolled form has about `nodes`. */
function lstm(nodes: number): Subject {
  const steps = Math.round(nodes / 10);
  const parameters = new Map([
    ['w', filled([1, 4 * WIDTH, WIDTH])],
    ['r', filled([1, 4 * WIDTH, WIDTH])],
    ['b', filled([1, 8 * WIDTH])],
  ]);
  const graph: Graph = {
    name: 'lstm',
    inputs: [{ name: 'input', dtype: 'float32', shape: [steps, 4, WIDTH] }],
    outputs: [{ name: 'output', dtype: 'float32', shape: [1, 4, WIDTH] }],
    nodes: [
      {
        name: 'lstm',
        operator: 'LSTM',
        domain: '',
        inputs: ['input', 'w', 'r', 'b'],
        outputs: ['', 'output'],
        attributes: { hidden_size: attribute.int(WIDTH) },
      },
    ],
    parameters,
    constants: new Map(),
  };
  return { graph, binding: { shapes: { input: [steps, 4, WIDTH] } }, loss: 'mse' };
}

/** A model of about `count` nodes from a layer's: nodes grow by the same number with each. */
function repeated(count: number, build: (layers: number) => Graph): Graph {
  const [one, two] = [build(1).nodes.length, build(2).nodes.length];
  return build(Math.max(1, Math.round((count - one) / (two - one)) + 1));
}

function mlp(layers: number): Graph {
  const hidden = Array.from({ length: layers }, () => [linear(WIDTH), relu()]).flat();
  return model({ input: tensor(WIDTH), layers: sequential(...hidden, linear(2)) }).graph;
}

const transformer = (layers: number): Graph =>
  gpt({ vocabulary: 32, context: 8, width: WIDTH, heads: 2, layers }).graph;

const SUBJECTS: Readonly<Record<string, (nodes: number) => Subject>> = {
  mlp: (nodes) => ({ graph: repeated(nodes, mlp), binding: { batch: 4 }, loss: 'cross_entropy' }),
  gpt: (nodes) => ({ graph: repeated(nodes, transformer), binding: { batch: 4 }, loss: 'cross_entropy' }),
  lstm,
};

const ALL_PHASES = ['read', 'bind', 'build', 'write', 'compile'] as const;
const PHASES = options['no-compile'] ? ALL_PHASES.slice(0, -1) : ALL_PHASES;
type Seconds = Record<(typeof ALL_PHASES)[number], number>;

async function measure({ graph, binding, loss }: Subject): Promise<{ seconds: Seconds; nodes: number }> {
  const file = writeGraph(graph);
  const times = [performance.now()];
  const lap = <T>(result: T): T => {
    times.push(performance.now());
    return result;
  };
  const read = lap(readModel(file).graph);
  lap(bindGraph(read, binding));
  const training = lap(buildTrainingGraph(read, { ...binding, loss }));
  const bytes = lap(writeTypedGraph(training.graph));
  if (!options['no-compile']) {
    const session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1, interOpNumThreads: 1 });
    lap(session);
    await session.release();
  }
  const seconds = Object.fromEntries(
    PHASES.map((phase, i) => [phase, (times[i + 1]! - times[i]!) / 1e3]),
  ) as Seconds;
  return { seconds, nodes: training.graph.nodes.length };
}

/** The least-squares slope of log y over log x. */
function exponent(x: readonly number[], y: readonly number[]): number {
  const [logX, logY] = [x.map(Math.log), y.map((value) => Math.log(Math.max(value, 1e-6)))];
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanX, meanY] = [mean(logX), mean(logY)];
  const products = logX.reduce((sum, value, i) => sum + (value - meanX) * (logY[i]! - meanY), 0);
  return products / logX.reduce((sum, value) => sum + (value - meanX) ** 2, 0);
}

interface Row {
  readonly model: string;
  readonly forwardNodes: number;
  readonly trainingNodes: number;
  readonly medianSeconds: Seconds;
  readonly minSeconds: Seconds;
  readonly maxSeconds: Seconds;
}

const sizes = options.nodes.split(',').map(Number);
const rounds = Number(options.rounds);
const environment = `${cpus()[0]?.model ?? 'unknown processor'}, node ${process.version}, onnxruntime ${ort.env.versions.node ?? ''}`;
const say = (line: string) => {
  if (!options.json) console.log(line);
};
const cells = (values: readonly string[]) => values.map((value) => value.padStart(10)).join('');

say(environment);
say(`medians of ${rounds} in seconds, with min to max of build`);
const rows: Row[] = [];
const exponents: Record<string, Seconds> = {};
for (const name of options.models.split(',')) {
  const subject = SUBJECTS[name];
  if (!subject) {
    console.error(`there is no model "${name}"; ${Object.keys(SUBJECTS).join(', ')} would be accepted`);
    process.exit(2);
  }
  // once to warm the compiler up
  await measure(subject(sizes[0]!));
  say(`\n${name}\n${cells(['nodes', 'training', ...PHASES])}`);
  const own: Row[] = [];
  for (const size of sizes) {
    const made = subject(size);
    const runs: Seconds[] = [];
    let trainingNodes = 0;
    for (let round = 0; round < rounds; round++) {
      const { seconds, nodes } = await measure(made);
      runs.push(seconds);
      trainingNodes = nodes;
    }
    const over = (reduce: (values: readonly number[]) => number) =>
      Object.fromEntries(PHASES.map((phase) => [phase, reduce(runs.map((run) => run[phase]))])) as Seconds;
    const row: Row = {
      model: name,
      forwardNodes: name === 'lstm' ? size : made.graph.nodes.length,
      trainingNodes,
      medianSeconds: over(median),
      minSeconds: over((values) => Math.min(...values)),
      maxSeconds: over((values) => Math.max(...values)),
    };
    own.push(row);
    const figures = PHASES.map((phase) => row.medianSeconds[phase].toFixed(3));
    const spread = `${row.minSeconds.build.toFixed(3)} to ${row.maxSeconds.build.toFixed(3)}`;
    say(`${cells([String(row.forwardNodes), String(row.trainingNodes), ...figures])}   ${spread}`);
  }
  const x = own.map(({ forwardNodes }) => forwardNodes);
  exponents[name] = Object.fromEntries(
    PHASES.map((phase) => [
      phase,
      exponent(
        x,
        own.map(({ minSeconds }) => minSeconds[phase]),
      ),
    ]),
  ) as Seconds;
  say(cells(['exponent', '', ...PHASES.map((phase) => exponents[name]![phase].toFixed(2))]));
  rows.push(...own);
}
if (options.json) console.log(JSON.stringify({ environment, rounds, rows, exponents }, undefined, 2));
