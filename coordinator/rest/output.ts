import { Type, type Static } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { createReadStream } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { OutputFilesSchema, ProblemSchema, type OutputFiles } from '../../protocol/index.js';
import { RequestError } from '../errors.js';
import type { RestContext } from './context.js';
import { jobParams, type JobParams } from './params.js';

const fileParams = Type.Object({
  ...jobParams.properties,
  '*': Type.String({ description: 'a path relative to the output folder', examples: ['model.onnx'] }),
});
type FileParams = Static<typeof fileParams>;

/** What a job writes, and nothing else that may lie in a submitter's folder. */
const RESULTS =
  /^(model\.onnx|weights\.safetensors|metrics\.jsonl|plan\.json|report\.json|trace\.json|vocabulary\.json|tensorboard\/events\.out\.tfevents\.[\w.-]+|checkpoints\/step-\d+\.safetensors)$/;
const TYPES: Readonly<Record<string, string>> = { json: 'application/json', jsonl: 'application/jsonl' };

/** The results of a job, for who cannot reach the coordinator's disk. */
export function outputRoutes(app: FastifyInstance, { board }: RestContext): void {
  app.get<{ Params: JobParams }>(
    '/v1/jobs/:id/output',
    {
      schema: {
        summary: 'The files in a job’s output folder',
        tags: ['jobs'],
        params: jobParams,
        response: { 200: OutputFilesSchema, 404: ProblemSchema, 503: ProblemSchema },
      },
    },
    async ({ params: { id } }) => ({ files: await list((await board.view(id)).output.directory) }),
  );

  app.get<{ Params: FileParams }>(
    '/v1/jobs/:id/output/*',
    {
      schema: {
        summary: 'A file of a job’s output folder',
        tags: ['jobs'],
        params: fileParams,
        response: {
          200: {
            description: 'its bytes',
            content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
          },
          404: ProblemSchema,
          503: ProblemSchema,
        },
      },
    },
    async ({ params }, reply) => {
      const { directory } = (await board.view(params.id)).output;
      const name = params['*'];
      const { path, bytes } = await find(directory, name);
      return reply
        .type(TYPES[name.split('.').at(-1)!] ?? 'application/octet-stream')
        .header('content-length', bytes)
        .header('x-content-type-options', 'nosniff')
        .send(createReadStream(path));
    },
  );
}

/** @throws RequestError `output_not_found` for anything but a result that lies inside the folder */
async function find(directory: string, name: string): Promise<{ path: string; bytes: number }> {
  const refuse = () =>
    new RequestError(
      'output_not_found',
      `there is no "${name}" among the results; list them with GET .../output`,
      { name },
    );
  if (!RESULTS.test(name)) throw refuse();
  try {
    const path = await realpath(join(directory, name));
    const inside = relative(await realpath(directory), path);
    const about = await stat(path);
    if (inside.startsWith('..') || !about.isFile()) throw refuse();
    return { path, bytes: about.size };
  } catch {
    throw refuse();
  }
}

async function list(directory: string): Promise<OutputFiles['files']> {
  let names: string[];
  try {
    names = await readdir(directory, { recursive: true });
  } catch {
    return []; // nothing was written yet
  }
  const files: { path: string; bytes: number }[] = [];
  for (const name of names.map((found) => found.split(sep).join('/')).sort()) {
    if (!RESULTS.test(name)) continue;
    const about = await stat(join(directory, name)).catch(() => undefined); // gone since
    if (about?.isFile()) files.push({ path: name, bytes: about.size });
  }
  return files;
}
