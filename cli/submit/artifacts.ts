import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { relative, resolve } from 'node:path';
import { formatBytes, sha256, type Clock } from '../../base/index.js';
import { filesOf, withFiles } from '../../data/index.js';
import {
  referenceTo,
  weightsPlace,
  weightsRules,
  withWeightsFile,
  type JobSpec,
} from '../../protocol/index.js';
import type { RestClient, Upload } from '../client/rest.js';
import { JobFileError } from '../errors.js';
import { Progress } from '../terminal/progress.js';
import type { Terminal } from '../terminal/terminal.js';
import type { JobFile } from './job-file.js';
import { reasonOf } from './yaml-file.js';

/** A file that a job needs, by its content. */
export interface Artifact {
  readonly sha256: string;
  readonly bytes: number;
  readonly upload: Upload;
  /** For people: the file's name. */
  readonly label: string;
}

/** A job that names its files by content, and those files. */
export interface PreparedJob {
  readonly spec: JobSpec;
  readonly artifacts: readonly Artifact[];
}

/**
 * Hashes everything that the job names, each file once, and puts `sha256:HEX` where the paths stood.
 * @throws JobFileError for a file that is not there, naming the field and its line
 */
export async function prepareJob(job: JobFile, model: Uint8Array, cwd: string): Promise<PreparedJob> {
  const { train, validation } = job.spec.data;
  const files = new Map<string, Artifact>();
  for (const [name, dataset] of Object.entries({ train, validation })) {
    if (!dataset) continue;
    for (const { field, file } of filesOf(dataset)) {
      if (files.has(file)) continue;
      const place = `data.${name}.${field.replace(/\[(\d+)\]/, '.$1')}`;
      files.set(file, await hashFile(resolve(job.folder, file), job, place, cwd));
    }
  }
  const { weights } = job.spec;
  if (weights !== undefined) {
    const { file } = weightsRules(weights);
    const path = resolve(job.folder, file);
    if (!files.has(file))
      files.set(file, await hashFile(path, job, weightsPlace(weights), cwd, 'a safetensors file'));
  }
  const byHash = (file: string) => referenceTo(files.get(file)!.sha256);
  const modelHash = sha256(model);
  // what it defines is in the model by now
  const { operators: _operators, ...rest } = job.spec;
  const spec: JobSpec = {
    ...rest,
    model: referenceTo(modelHash),
    ...(weights === undefined
      ? {}
      : { weights: withWeightsFile(weights, byHash(weightsRules(weights).file)) }),
    data: {
      train: withFiles(train, byHash),
      ...(validation ? { validation: withFiles(validation, byHash) } : {}),
    },
  };
  const modelArtifact = {
    sha256: modelHash,
    bytes: model.length,
    upload: { bytes: model },
    label: job.spec.model,
  };
  const unique = new Map([modelArtifact, ...files.values()].map((artifact) => [artifact.sha256, artifact]));
  return { spec, artifacts: [...unique.values()] };
}

/** Uploads what the coordinator does not have yet, with progress on stderr. */
export async function uploadMissing(
  client: RestClient,
  artifacts: readonly Artifact[],
  terminal: Terminal,
  clock: Clock,
): Promise<void> {
  const have = await Promise.all(artifacts.map((artifact) => client.hasArtifact(artifact.sha256)));
  const missing = artifacts.filter((_, i) => !have[i]);
  const total = missing.reduce((sum, { bytes }) => sum + bytes, 0);
  const progress = new Progress(terminal, clock, 'upload', formatBytes);
  let sent = 0;
  try {
    for (const artifact of missing) {
      await client.putArtifact(artifact.sha256, artifact.upload, (count) => {
        sent += count;
        progress.update(sent, total, artifact.label);
      });
    }
  } finally {
    progress.stop();
  }
}

async function hashFile(
  path: string,
  job: JobFile,
  field: string,
  cwd: string,
  wanted = 'a data file',
): Promise<Artifact> {
  const label = relative(cwd, path) || path;
  try {
    const found = await stat(path);
    const hash = createHash('sha256');
    for await (const piece of createReadStream(path, { highWaterMark: 2 ** 20 }))
      hash.update(piece as Buffer);
    return { sha256: hash.digest('hex'), bytes: found.size, upload: { path, size: found.size }, label };
  } catch (error) {
    const at = job.where(field);
    throw new JobFileError(
      `${at}: ${field}: ${label}: ${reasonOf(error, wanted)}`,
      { file: label, field, at },
      error,
    );
  }
}
