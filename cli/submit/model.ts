import { stat } from 'node:fs/promises';
import { extname, relative, resolve } from 'node:path';
import { loadModel, onePiece, writeGraph, type Graph } from '../../graph/index.js';
import { NotAModelError, toGraph } from '../../graph/nn/index.js';
import { ModelFileError } from '../errors.js';
import { defaultExportOf } from './module.js';
import type { JobFile } from './job-file.js';
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
      return onePiece(await loadModel(path, { source: label }));
    case '.ts':
    case '.mts':
    case '.js':
    case '.mjs':
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
    return toGraph(await defaultExportOf(path));
  } catch (error) {
    if (error instanceof NotAModelError) throw refuse(error.message, error);
    const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined };
    const place = stack
      ?.split('\n')
      .find((line) => line.includes(path))
      ?.trim();
    throw refuse(`the module does not run: ${message}${place === undefined ? '' : ` (${place})`}`, error);
  }
}
