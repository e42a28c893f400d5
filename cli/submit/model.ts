import { readFile } from 'node:fs/promises';
import { extname, relative, resolve } from 'node:path';
import { ModelFileError } from '../errors.js';
import { reasonOf, type JobFile } from './job-file.js';

/**
 * The job's model as the bytes of one ONNX file.
 * @throws ModelFileError naming the field and its line
 */
export async function modelBytes(job: JobFile, cwd: string): Promise<Uint8Array> {
  const path = resolve(job.folder, job.spec.model);
  const label = relative(cwd, path) || path;
  const at = job.where('model');
  if (extname(path) !== '.onnx') {
    throw new ModelFileError(`${at}: model: ${label}: expected an ONNX file, its name ending with .onnx`, {
      file: label,
    });
  }
  try {
    return await readFile(path);
  } catch (error) {
    throw new ModelFileError(
      `${at}: model: ${label}: ${reasonOf(error, 'an ONNX file')}`,
      { file: label, field: 'model', at },
      error,
    );
  }
}
