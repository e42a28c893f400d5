import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import type { CustomOperator } from '../../graph/index.js';
import type { GradcheckResult } from '../../worker/gradcheck/index.js';
import { ModelFileError, UsageError } from '../errors.js';
import { EXIT } from '../exit.js';
import type { Session } from '../session.js';
import { table } from '../terminal/table.js';
import { examples, withJson } from './options.js';

interface Options {
  readonly engine: string;
  readonly device: string;
  readonly rtol: string;
  readonly fallback: 'report' | 'forbid';
  readonly operators?: string;
}

/** `dtrain gradcheck CASE_DIR`: one model's numbers against those of another framework. */
export function registerGradcheck(program: Command, session: Session): void {
  const command = program
    .command('gradcheck')
    .description("compare a model's loss, gradients and optimizer trajectory with a reference")
    .argument('<case-dir>', 'folder with model.onnx, case.json and case.safetensors')
    .option('--engine <name>', 'onnxruntime, gpujs, or reference (float64 in TypeScript)', 'onnxruntime')
    .option('--device <device>', 'where the engine computes: cpu, webgpu:0, cuda:0, wasm:0, webgl:0', 'cpu')
    .option(
      '--operators <module>',
      'a module that exports the operators which the model uses of other domains',
    )
    .option('--rtol <error>', 'largest relative error (L2) that passes', '1e-3')
    .addOption(
      new Option(
        '--fallback <choice>',
        "nodes that the device cannot run: compute them on the host's CPU, or refuse",
      )
        .choices(['report', 'forbid'])
        .default('report'),
    );
  withJson(command)
    .addHelpText(
      'after',
      examples('dtrain gradcheck cases/gpt', 'dtrain gradcheck cases/lenet --rtol 1e-5 --json'),
    )
    .action(async (folder: string, options: Options) => {
      const rtol = Number(options.rtol);
      if (!(rtol > 0))
        throw new UsageError(`--rtol ${options.rtol}: write a number above 0, for example 1e-3`);
      const { createEngine, engineNamed } = await import('../../worker/engine/index.js');
      const { gradcheck, loadCase } = await import('../../worker/gradcheck/index.js');
      const { device, fallback, operators } = options;
      const own =
        operators === undefined ? [] : await ownOperators(resolve(session.cwd, operators), operators);
      const engine = await createEngine(engineNamed(options.engine), { device, fallback });
      try {
        const result = await gradcheck(await loadCase(folder, own), engine, rtol);
        session.terminal.answer(result, () => describe(result));
        if (!result.pass) session.exitCode = EXIT.failed;
      } finally {
        await engine.dispose();
      }
    });
}

/** The module runs in this process. */
async function ownOperators(path: string, label: string): Promise<readonly CustomOperator[]> {
  const { moduleOperators } = await import('../submit/operators.js');
  return moduleOperators(
    path,
    (problem, cause) => new ModelFileError(`--operators ${label}: ${problem}`, { file: label }, cause),
  );
}

function describe(result: GradcheckResult): string {
  const head = `${result.case} on ${result.engine} (${result.device}): ${result.pass ? 'pass' : 'FAIL'}`;
  if (result.unsupported.length > 0) {
    const rows = result.unsupported.map(({ operator, nodes }) => [operator, nodes.join(', ')]);
    return `${head}\n${table(['UNSUPPORTED', 'NODES'], rows)}`;
  }
  const show = (error: number | null | undefined) => {
    if (error === null || error === undefined) return '-';
    return `${error.toExponential(2)}${error <= result.rtol ? '' : '  over'}`;
  };
  const zero = new Set(result.zeroGradients);
  const rows = [
    ['output', show(result.outputError)],
    ['loss', show(result.lossError)],
    ['trajectory', show(result.trajectoryError)],
    ...Object.entries(result.gradients).map(([name, error]) => [
      `gradient of ${name}${zero.has(name) ? ' (zero up to rounding)' : ''}`,
      show(error),
    ]),
  ];
  const skipped =
    result.skipped.length > 0 ? `\nnot in model.onnx, not compared: ${result.skipped.join(', ')}` : '';
  const fallen = result.fallbacks.map(
    ({ node, operator, reason }) => `\nnot on the device: "${node}" (${operator}): ${reason}`,
  );
  return `${head}\n${table(['VALUE', `RELATIVE ERROR (L2), at most ${result.rtol}`], rows)}${skipped}${fallen.join('')}`;
}
