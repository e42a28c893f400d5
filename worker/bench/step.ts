import { cpus, loadavg } from 'node:os';
import { version, type Flops, type Seconds } from '../../base/index.js';
import {
  buildEvaluationGraph,
  buildTrainingGraph,
  isFloat,
  sizeOf,
  type Graph,
  type LossKind,
  type TensorData,
  type TensorType,
} from '../../graph/index.js';
import type { OptimizerConfig } from '../../protocol/index.js';
import { stepFlopsOf } from '../../scheduler/index.js';
import { largestWithin, productGraph, type Engine, type Fallback, type Program } from '../engine/index.js';
import { LocalTrainer } from '../gradcheck/index.js';
import { BenchError } from './errors.js';
import { randomValues, type InputSpec } from './input.js';
import { timingOf, type Timing } from './timing.js';

export interface StepBenchOptions {
  readonly model: Graph;
  readonly loss: LossKind;
  readonly batch: number;
  /** Inputs whose shape or range the model does not tell. */
  readonly inputs: readonly InputSpec[];
  /** Default AdamW: two state values for each parameter. */
  readonly optimizer?: OptimizerConfig;
  /** Measures at least so long. Default 5. */
  readonly seconds?: Seconds;
  /** Measures at least so often. Default 7; slow engines want fewer. */
  readonly rounds?: number;
}

/** Medians of one training step on one device, beside the limit that arithmetic sets. */
export interface StepBenchResult {
  readonly engine: string;
  readonly device: string;
  /** Nodes of the training graph that did not run on the device but on the host's CPU. */
  readonly fallbacks: readonly Fallback[];
  readonly loss: LossKind;
  readonly batch: number;
  /** How many trainable numbers. */
  readonly parameters: number;
  /** Targets in a batch where they are class ids (a language model's tokens), else samples. */
  readonly tokens: number;
  readonly forwardSeconds: Seconds;
  readonly backwardSeconds: Seconds;
  readonly optimizerSeconds: Seconds;
  /** Forward, backward and optimizer. */
  readonly stepSeconds: Seconds;
  readonly samplesPerSecond: number;
  readonly spread: Readonly<Record<'forward' | 'forwardAndBackward' | 'optimizer' | 'product', Timing>>;
  /** Rate of a float32 product of square matrices, measured in turn with the step. */
  readonly productFlops: Flops;
  /** Their rows and columns: 1024, or less on an engine that would take long for that. */
  readonly productSize: number;
  /** What matrix products and convolutions, forward and backward, take at `productFlops`. */
  readonly limitSeconds: Seconds;
  readonly ratio: number;
  readonly rounds: number;
  /** How the parts were told apart. */
  readonly measured: string;
  readonly environment: Readonly<Record<string, string | number>>;
}

const ROUNDS = 7;
const PRODUCTS = [64, 128, 256, 512, 1024];
/** A product that takes so long tells the rate; no larger one is measured. */
const PRODUCT_SECONDS: Seconds = 0.2;
const MEASURED =
  'forward: the graph with its loss and no gradients; backward: the whole training graph less forward; ' +
  'optimizer: the update kernels on all parameters. Medians; the parts and the product run in turn, in one thread.';

/**
 * Measures a training step of a model on random data.
 * @throws DtrainError where the model does not fit the batch, the loss or the inputs described
 */
export async function benchmarkStep(engine: Engine, options: StepBenchOptions): Promise<StepBenchResult> {
  const { model, loss, batch } = options;
  const shapes = Object.fromEntries(options.inputs.map(({ name, shape }) => [name, shape]));
  const binding = { loss, batch, shapes };
  const training = buildTrainingGraph(model, { ...binding, includeOutput: true });
  const evaluation = buildEvaluationGraph(model, binding);
  const optimizer = options.optimizer ?? { kind: 'adamw', lr: 1e-4 };
  const trainer = await LocalTrainer.create(engine, training, model, optimizer);
  const typeOf = (name: string) => training.graph.types.get(name)!;
  const values = new Map<string, TensorData>();
  for (const { name } of model.inputs) values.set(name, inputValues(name, typeOf(name), options.inputs));
  const target = training.target.type;
  const outputSize = sizeOf(typeOf(training.output ?? '').shape);
  values.set(
    training.target.name,
    targetValues(loss, target, outputSize / Math.max(1, sizeOf(target.shape))),
  );
  for (const [name, data] of values) trainer.set(name, data);
  for (const name of evaluation.running) values.set(name, trainer.statistics.of(name));
  const forward = await engine.compile(evaluation.graph);
  const product = await largestWithin(engine, PRODUCTS, productGraph, PRODUCT_SECONDS);
  const find = (name: string) => values.get(name) ?? trainer.parameters.get(name);
  const runForward = runner(forward, find);

  const times = {
    forward: [] as Seconds[],
    both: [] as Seconds[],
    optimizer: [] as Seconds[],
    product: [] as Seconds[],
  };
  let spent = 0;
  const rounds = options.rounds ?? ROUNDS;
  for (let round = 0; round <= rounds || spent < (options.seconds ?? 5); round++) {
    const lap = {
      forward: await seconds(runForward),
      both: await seconds(() => trainer.run()),
      optimizer: await seconds(() => trainer.update(round + 1)),
      product: await product.run(),
    };
    if (round === 0) continue; // memory is allocated and code compiled
    for (const part of ['forward', 'both', 'optimizer', 'product'] as const) {
      times[part].push(lap[part]);
      spent += lap[part];
    }
  }
  for (const program of [trainer, forward, product]) await program.dispose();
  const parameters = [...model.parameters.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const tokens = loss === 'cross_entropy' ? sizeOf(target.shape) : batch;
  return {
    ...summary(times, product.size, { parameters, tokens, batch, flops: stepFlopsOf(evaluation.graph) }),
    engine: engine.name,
    device: engine.device,
    fallbacks: trainer.fallbacks,
    loss,
  };
}

function summary(
  times: Readonly<Record<'forward' | 'both' | 'optimizer' | 'product', readonly Seconds[]>>,
  productSize: number,
  { flops, ...counts }: Pick<StepBenchResult, 'parameters' | 'tokens' | 'batch'> & { readonly flops: Flops },
): Omit<StepBenchResult, 'engine' | 'device' | 'fallbacks' | 'loss'> {
  const spread = {
    forward: timingOf(times.forward),
    forwardAndBackward: timingOf(times.both),
    optimizer: timingOf(times.optimizer),
    product: timingOf(times.product),
  };
  const productFlops = (2 * productSize ** 3) / spread.product.medianSeconds;
  const optimizerSeconds = spread.optimizer.medianSeconds;
  const stepSeconds = spread.forwardAndBackward.medianSeconds + optimizerSeconds;
  const limitSeconds = flops / productFlops;
  return {
    ...counts,
    forwardSeconds: spread.forward.medianSeconds,
    backwardSeconds: spread.forwardAndBackward.medianSeconds - spread.forward.medianSeconds,
    optimizerSeconds,
    stepSeconds,
    samplesPerSecond: counts.batch / stepSeconds,
    spread,
    productFlops,
    productSize,
    limitSeconds,
    ratio: stepSeconds / limitSeconds,
    rounds: times.both.length,
    measured: MEASURED,
    environment: {
      dtrain: version,
      node: process.version,
      processor: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      load: loadavg()[0] ?? 0,
    },
  };
}

async function seconds(act: () => Promise<void> | void): Promise<Seconds> {
  const start = performance.now();
  await act();
  return (performance.now() - start) / 1000;
}

/** Runs a program on known values; inputs that `find` does not know are random, made once. */
function runner(program: Program, find: (name: string) => TensorData | undefined): () => Promise<void> {
  const inputs = program.inputs.map((spec) => find(spec.name) ?? randomValues(spec.name, spec));
  const outputs = program.outputs.map((spec) => randomValues(spec.name, spec));
  return () => program.run(inputs, outputs);
}

function inputValues(name: string, type: TensorType, specs: readonly InputSpec[]): TensorData {
  const spec = specs.find((candidate) => candidate.name === name);
  const wanted = `${type.dtype}[${type.shape.join(',')}]`;
  if (spec && spec.dtype !== type.dtype) {
    throw new BenchError(`--input ${name} is ${spec.dtype}; the model takes ${wanted}`);
  }
  if (!spec && !isFloat(type.dtype) && type.dtype !== 'bool') {
    throw new BenchError(
      `the model's input "${name}" is ${wanted}: say below what, with --input ${name}=${wanted}:HIGH`,
    );
  }
  return randomValues(name, type, spec?.high);
}

/** Class ids below the number of classes, 0 or 1 for binary targets, else normal values. */
function targetValues(loss: LossKind, type: TensorType, classes: number): TensorData {
  if (loss === 'cross_entropy') return randomValues('target', type, Math.max(1, Math.floor(classes)));
  const values = randomValues('target', type);
  if (loss !== 'binary_cross_entropy_with_logits') return values;
  return (values as Float32Array).map((value) => (value > 0 ? 1 : 0));
}
