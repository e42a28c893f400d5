import { stat } from 'node:fs/promises';
import { extname, relative, resolve } from 'node:path';
import {
  checkOperators,
  loadModel,
  onePiece,
  OperatorError,
  writeGraph,
  type Graph,
  type Model,
} from '../../graph/index.js';
import { NotAModelError, toGraph } from '../../graph/nn/index.js';
import { ModelFileError } from '../errors.js';
import { defaultExportOf } from './module.js';
import type { JobFile } from './job-file.js';
import { jobOperators, moduleFault } from './operators.js';
import { reasonOf } from './yaml-file.js';

/**
 * The job's model as the bytes of one ONNX file: an ONNX file with its external data brought in, or what a
 * TypeScript or JavaScript module exports. The module runs here, in the submitter's process; the coordinator and the
 * workers never run a user's code.
 * @throws ModelFileError naming the field and its line; ModelError for what is in the file
 */
export async function modelBytes(job: JobFile, cwd: string): Promise<Uint8Array> {
  const path = resolve(job.folder, job.spec.model);
  const label = relative(cwd, path) || path;
  const at = job.where('model');
  const wanted = 'an ONNX file (.onnx), or a module (.ts, .mts, .js, .mjs) that exports a model';
  const refuse = (problem: string, cause?: unknown) =>
    new ModelFileError(`${at}: model: ${label}: ${problem}`, { file: label, field: 'model', at }, cause);
  try {
    if ((await stat(path)).isDirectory()) throw refuse(`this is a folder; expected ${wanted}`);
  } catch (error) {
    throw error instanceof ModelFileError ? error : refuse(reasonOf(error, wanted), error);
  }
  switch (extname(path)) {
    case '.onnx':
      return checked(await loadModel(path, { source: label, operators: await jobOperators(job, cwd) }));
    case '.ts':
    case '.mts':
    case '.js':
    case '.mjs':
      if (job.spec.operators !== undefined)
        throw refuse('a module brings the operators that it uses itself; leave "operators" out');
      return writeGraph(await graphOf(path, refuse));
    default:
      throw refuse(`expected ${wanted}, by its name`);
  }
}

async function graphOf(
  path: string,
  refuse: (problem: string, cause?: unknown) => ModelFileError,
): Promise<Graph> {
  try {
    const graph = toGraph(await defaultExportOf(path));
    checkOperators(graph);
    return graph;
  } catch (error) {
    if (error instanceof NotAModelError) throw refuse(error.message, error);
    // what the check has found; what the module itself throws is of another copy of dtrain/nn
    if (error instanceof OperatorError) throw refuse(error.message, error);
    throw refuse(await moduleFault(path, error), error);
  }
}

/** The model with the definitions of its operators inside, each checked by finite differences. */
function checked(model: Model): Uint8Array {
  checkOperators(model.graph);
  return onePiece(model);
}
