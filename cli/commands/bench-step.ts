import { Option, type Command } from 'commander';
import { formatSeconds } from '../../base/index.js';
import { LOSS_KINDS, type LossKind } from '../../graph/index.js';
import type { StepBenchResult } from '../../worker/bench/index.js';
import { UsageError } from '../errors.js';
import type { Session } from '../session.js';
import { table } from '../terminal/table.js';
import { examples, repeatable, withJson } from './options.js';

interface Options {
  readonly model: string;
  readonly loss: LossKind;
  readonly batch: string;
  readonly input: readonly string[];
  readonly engine: string;
  readonly device: string;
  readonly threads?: string;
  readonly seconds: string;
  readonly rounds: string;
}

/** `dtrain bench step`: how long one device takes for a training step, beside what arithmetic allows. */
export function registerBenchStep(bench: Command, session: Session): void {
  const command = bench
    .command('step')
    .description('forward, backward and optimizer of one model on one device')
    .requiredOption('--model <file>', 'the model, ONNX')
    .addOption(new Option('--loss <kind>', 'the loss').choices(LOSS_KINDS).makeOptionMandatory())
    .requiredOption('--batch <n>', 'samples in a step')
    .addOption(
      repeatable('--input <spec>', 'name=dtype[dims]:high, for inputs of integers; repeat for several'),
    )
    .option('--engine <name>', 'onnxruntime, gpujs or reference', 'onnxruntime')
    .option('--device <device>', 'where the engine computes: cpu, webgpu:0, cuda:0, wasm:0, webgl:0', 'cpu')
    .option('--threads <n>', 'threads of the engine (default: one for each core)')
    .option('--seconds <s>', 'measure for so long', '5')
    .option('--rounds <n>', 'and so often at least', '7');
  withJson(command)
    .addHelpText(
      'after',
      examples(
        'dtrain bench step --model resnet.onnx --loss cross_entropy --batch 32 --threads 1',
        'dtrain bench step --model gpt.onnx --loss cross_entropy --batch 16 --input "input=int64[16,64]:65" --json',
      ),
    )
    .action(async (options: Options) => {
      const batch = wholeNumber('--batch', options.batch);
      const threads =
        options.threads === undefined ? {} : { threads: wholeNumber('--threads', options.threads) };
      const rounds = wholeNumber('--rounds', options.rounds);
      const seconds = Number(options.seconds);
      if (!(seconds >= 0)) throw new UsageError(`--seconds ${options.seconds}: write a number, 0 or more`);
      const { loadModel } = await import('../../graph/index.js');
      const { createEngine, engineNamed } = await import('../../worker/engine/index.js');
      const { benchmarkStep, parseInputSpec } = await import('../../worker/bench/index.js');
      const inputs = options.input.map(parseInputSpec);
      const { graph: model } = await loadModel(options.model);
      const engine = await createEngine(engineNamed(options.engine), { device: options.device, ...threads });
      try {
        const result = await benchmarkStep(engine, {
          model,
          loss: options.loss,
          batch,
          inputs,
          seconds,
          rounds,
        });
        session.terminal.answer({ model: options.model, ...result }, () => describe(options.model, result));
      } finally {
        await engine.dispose();
      }
    });
}

function wholeNumber(option: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new UsageError(`${option} ${text}: write a whole number from 1`);
}

function describe(model: string, result: StepBenchResult): string {
  const { spread, environment } = result;
  const row = (
    name: string,
    median: number,
    timing?: { readonly minSeconds: number; readonly maxSeconds: number },
  ) => [
    name,
    formatFine(median),
    timing ? `${formatFine(timing.minSeconds)} to ${formatFine(timing.maxSeconds)}` : '',
  ];
  return [
    `${model}: ${result.parameters} parameters, batch ${result.batch} (${result.tokens} targets), ${result.rounds} rounds`,
    `${result.engine} on ${result.device}; ${environment['processor'] ?? ''}, load ${environment['load'] ?? ''}`,
    table(
      ['PART', 'MEDIAN', 'SPREAD'],
      [
        row('forward', result.forwardSeconds, spread.forward),
        row('backward', result.backwardSeconds),
        row('forward and backward', spread.forwardAndBackward.medianSeconds, spread.forwardAndBackward),
        row('optimizer', result.optimizerSeconds, spread.optimizer),
        row('step', result.stepSeconds),
      ],
    ),
    `${result.samplesPerSecond.toFixed(1)} samples/s`,
    `limit ${formatFine(result.limitSeconds)}: its products and convolutions at ${(result.productFlops / 1e9).toFixed(1)} ` +
      `GFLOP/s of a ${result.productSize}^3 product in the same run; the step takes ${result.ratio.toFixed(2)} times that`,
    ...(result.fallbacks.length > 0
      ? [
          `${result.fallbacks.length} nodes of the training graph ran on the CPU and not on the device: ` +
            [...new Set(result.fallbacks.map(({ reason }) => reason))].join('; '),
        ]
      : []),
    result.measured,
  ].join('\n');
}

/** Milliseconds with decimals: a step is often shorter than `formatSeconds` shows. */
function formatFine(seconds: number): string {
  return seconds < 1 ? `${(seconds * 1000).toFixed(2)} ms` : formatSeconds(seconds);
}
