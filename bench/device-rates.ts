/**
 * How well what is measured of a device foretells its training steps: the rates that a device measures when it joins,
 * and for each model, batch and class of operators the seconds that the cost model makes of them beside those that
 * onnxruntime took in the same run, on one thread.
 *
 * usage: node dist/bench/device-rates.js [--runs 15] [--rounds 3] [--json] [MODEL.onnx:BATCH ...]
 *        (default: gpt-small, resnet20 and mlp-wide, where they lie beside the repository)
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import * as ort from 'onnxruntime-node';
import { lowerQuartile, median } from '../base/index.js';
import { layerProfile } from '../coordinator/prepare/layers.js';
import { workOf } from '../coordinator/prepare/work.js';
import {
  buildTrainingGraph,
  emptyData,
  loadModel,
  LOSS_SCALE,
  sizeOf,
  writeTypedGraph,
  type TensorData,
  type TensorType,
  type TypedGraph,
} from '../graph/index.js';
import type { DeviceRates } from '../scheduler/index.js';
import { Efforts, ratesOf, secondsFor } from '../scheduler/planner/cost.js';
import { repositoryRoot } from '../test/root.js';
import { createEngine, measureRates, type Engine } from '../worker/engine/index.js';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '15' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
});
const DEFAULTS = ['gpt-small:16', 'gpt-small:4', 'resnet20:16', 'resnet20:64', 'mlp-wide:16', 'mlp-wide:128'];

/** Seconds of a step by class of operators. */
interface Classes {
  readonly products: number;
  readonly convolutions: number;
  readonly others: number;
}

/** Deterministic small numbers; ids for integers. */
function fill({ dtype, shape }: TensorType): TensorData {
  const data = emptyData(dtype, sizeOf(shape));
  for (let i = 0; i < data.length; i++) {
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[i] = BigInt(i % 10);
    else data[i] = Math.sin(i * 12.9898) / 2;
  }
  return data;
}

/** Kernel seconds by class, node by node the lower quartile of all runs, from onnxruntime's own profile. */
async function classesOf(graph: TypedGraph, inputs: readonly TensorData[], runs: number): Promise<Classes> {
  const folder = mkdtempSync(join(tmpdir(), 'device-rates-'));
  const session = await ort.InferenceSession.create(writeTypedGraph(graph), {
    executionProviders: ['cpu'],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    enableMemPattern: false,
    enableProfiling: true,
    profileFilePrefix: join(folder, 'run'),
  });
  const names = [...graph.inputs, ...graph.parameters.keys()];
  const feeds = Object.fromEntries(
    names.map((name, i) => {
      const { dtype, shape } = graph.types.get(name)!;
      return [name, new ort.Tensor(dtype as 'float32', inputs[i] as Float32Array, shape)];
    }),
  );
  for (let run = 0; run < runs; run++) await session.run(feeds);
  session.endProfiling();
  await session.release();
  interface Event {
    readonly cat: string;
    readonly name: string;
    readonly dur: number;
    readonly args?: { readonly op_name?: string };
  }
  const file = readdirSync(folder).find((name) => name.endsWith('.json'))!;
  const events = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Event[];
  rmSync(folder, { recursive: true });
  const times = new Map<string, { readonly operator: string; readonly seconds: number[] }>();
  for (const { cat, name, dur, args } of events) {
    if (cat !== 'Node' || !name.endsWith('_kernel_time')) continue;
    const known = times.get(name) ?? { operator: args?.op_name ?? '', seconds: [] };
    known.seconds.push(dur / 1e6);
    times.set(name, known);
  }
  const sum = (belongs: (operator: string) => boolean) =>
    [...times.values()].reduce(
      (all, each) => all + (belongs(each.operator) ? lowerQuartile(each.seconds) : 0),
      0,
    );
  const products = (operator: string) => /MatMul|Gemm/.test(operator);
  const convolutions = (operator: string) => operator.startsWith('Conv');
  return {
    products: sum(products),
    convolutions: sum(convolutions),
    others: sum((operator) => !products(operator) && !convolutions(operator)),
  };
}

interface Row {
  readonly model: string;
  readonly batch: number;
  /** Seconds of a step through the engine, the lower quartile as in what is measured at joining; and their median. */
  readonly step: number;
  readonly medianStep: number;
  readonly kernels: Classes;
  readonly predicted: Classes;
  /** The step as the planner sees it: from the units' profile, which is read at two samples. */
  readonly planned: number;
}

async function measure(engine: Engine, rates: DeviceRates, path: string, batch: number): Promise<Row> {
  const { graph } = await loadModel(path);
  const training = buildTrainingGraph(graph, { batch, loss: 'cross_entropy' });
  const typed = training.graph;
  const inputs = [...typed.inputs, ...typed.parameters.keys()].map((name) =>
    name === LOSS_SCALE
      ? Float32Array.of(1)
      : (graph.parameters.get(name)?.data ?? fill(typed.types.get(name)!)),
  );
  const outputs = typed.outputs.map((name) => {
    const { dtype, shape } = typed.types.get(name)!;
    return emptyData(dtype, sizeOf(shape));
  });
  const program = await engine.compile(typed);
  const seconds: number[] = [];
  for (let run = -2; run < Number(options.runs); run++) {
    const start = performance.now();
    await program.run(inputs, outputs);
    if (run >= 0) seconds.push((performance.now() - start) / 1000);
  }
  await program.dispose();
  const each = ratesOf({ id: 'here', host: 'here', kind: 'cpu', memoryBytes: 0, ...rates });
  const work = workOf(typed, batch, new Set(training.gradients.values()));
  const convolutionFlops = work.convolutionFlops ?? 0;
  const shapes = {
    inputs: new Map(graph.inputs.map(({ name }) => [name, typed.types.get(name)!.shape.slice(1)])),
    target: typed.types
      .get(
        typed.inputs.find(
          (name) => !graph.inputs.some((input) => input.name === name) && name !== LOSS_SCALE,
        )!,
      )!
      .shape.slice(1),
  };
  const none = { base: 0, perSample: 0 };
  const layers = layerProfile(graph, shapes, 'cross_entropy', [...graph.parameters.keys()], {
    activationBytes: none,
    crossingBytes: none,
  });
  const effort = new Efforts(layers.units).step([{ from: 0, to: layers.units.length }], 'fused');
  const { constant, perSample } = secondsFor(effort, each);
  return {
    model: basename(path, '.onnx'),
    batch,
    step: lowerQuartile(seconds),
    medianStep: median(seconds),
    kernels: await classesOf(typed, inputs, Number(options.runs)),
    predicted: {
      products: batch * (work.productFlops - convolutionFlops) * each.product,
      convolutions: batch * convolutionFlops * each.convolution,
      others:
        batch * work.movedBytes * each.byte +
        (work.fixedBytes ?? 0) * each.byte +
        work.launches * each.launch,
    },
    planned: constant + perSample * batch,
  };
}

const fixtures = join(repositoryRoot, '..', 'shared', 'fixtures', 'bench');
const wanted = (
  positionals.length > 0 ? positionals : DEFAULTS.map((name) => join(fixtures, name.replace(':', '.onnx:')))
)
  .map((text) => ({
    path: text.slice(0, text.lastIndexOf(':')),
    batch: Number(text.slice(text.lastIndexOf(':') + 1)),
  }))
  .filter(({ path }) => existsSync(path));
const engine = await createEngine('onnxruntime', { threads: 1 });
const measured: DeviceRates[] = [];
const rows: Row[] = [];
const ms = (value: number) => (value * 1e3).toFixed(1).padStart(7);
console.error(
  `${cpus()[0]?.model ?? 'unknown processor'}, one thread, onnxruntime ${ort.env.versions.node ?? ''}`,
);
for (let round = 0; round < Number(options.rounds); round++) {
  const started = performance.now();
  const rates = await measureRates(engine);
  measured.push(rates);
  const giga = (value: number) => (value / 1e9).toFixed(1);
  console.error(
    `products ${giga(rates.flops)} GFLOP/s, convolutions ${giga(rates.convolutionFlops)}, ` +
      `${giga(rates.memoryBandwidthBytesPerSecond)} GB/s, ${(rates.launchSeconds * 1e6).toFixed(2)} us a launch; ` +
      `measured in ${((performance.now() - started) / 1000).toFixed(2)} s`,
  );
  for (const { path, batch } of wanted) {
    const row = await measure(engine, rates, path, batch);
    rows.push(row);
    const { kernels, predicted } = row;
    const sum = ({ products, convolutions, others }: Classes) => products + convolutions + others;
    const pair = (of: keyof Classes) => `${of} ${ms(predicted[of])} /${ms(kernels[of])}`;
    console.error(
      `${row.model.padEnd(10)} ${String(batch).padStart(4)}: step ${ms(row.step)} ms (median ${ms(row.medianStep)}), predicted ${(sum(predicted) / row.step).toFixed(2)} of it, ${(sum(predicted) / sum(kernels)).toFixed(2)} of its kernels, ` +
        `from units ${(row.planned / row.step).toFixed(2)}; predicted / kernels: ${pair('products')}, ${pair('convolutions')}, ${pair('others')}`,
    );
  }
}
await engine.dispose();
if (options.json) console.log(JSON.stringify({ rates: measured, rows }));
