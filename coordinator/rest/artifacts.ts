import { Type, type Static } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { Readable } from 'node:stream';
import { ArtifactUploadSchema, ProblemSchema, referenceTo } from '../../protocol/index.js';
import { LARGEST_ARTIFACT } from '../artifacts/index.js';
import { ArtifactTooLargeError, RequestError } from '../errors.js';
import type { RestContext } from './context.js';

const params = Type.Object({ sha256: Type.String({ description: '64 lower-case hexadecimal digits' }) });
type Params = Static<typeof params>;
const tags = ['artifacts'];

export function artifactRoutes(app: FastifyInstance, { artifacts }: RestContext): void {
  // the body is streamed to disk: no parser may collect it
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));

  app.head<{ Params: Params }>(
    '/v1/artifacts/:sha256',
    {
      schema: {
        summary: 'Whether an artifact is there',
        tags,
        params,
        response: {
          200: { description: 'it is', type: 'null' },
          404: { description: 'it is not', type: 'null' },
        },
      },
    },
    async ({ params: { sha256 } }, reply) => {
      const bytes = await artifacts.size(sha256);
      if (bytes === undefined) return reply.code(404).send();
      return reply.code(200).header('content-length', bytes).send();
    },
  );

  app.put<{ Params: Params; Body: unknown }>(
    '/v1/artifacts/:sha256',
    {
      bodyLimit: LARGEST_ARTIFACT,
      schema: {
        summary: 'Upload an artifact: a model, data',
        description:
          'The bytes are kept once their SHA-256 is the one in the address, and thrown away otherwise.',
        tags,
        params,
        consumes: ['application/octet-stream'],
        response: {
          201: { ...ArtifactUploadSchema, description: 'it was stored' },
          200: { ...ArtifactUploadSchema, description: 'it was there already' },
          400: ProblemSchema,
          413: ProblemSchema,
          507: { ...ProblemSchema, description: 'no room on the disk' },
        },
      },
    },
    async (request, reply) => {
      const { sha256 } = request.params;
      const announced = Number(request.headers['content-length'] ?? 0);
      artifacts.path(sha256); // refuses what is no hash before a byte is read
      if (announced > LARGEST_ARTIFACT) throw new ArtifactTooLargeError(sha256, LARGEST_ARTIFACT);
      if (!(request.body instanceof Readable)) {
        throw new RequestError('bad_media_type', 'send the bytes as application/octet-stream');
      }
      const known = (await artifacts.size(sha256)) !== undefined;
      const bytes = await artifacts.put(sha256, request.body).catch((error: unknown) => {
        if (request.raw.errored === null) throw error;
        throw new RequestError('upload_broken', `artifact ${sha256}: the upload broke off`);
      });
      return reply.code(known ? 200 : 201).send({ sha256, bytes, reference: referenceTo(sha256) });
    },
  );
}
