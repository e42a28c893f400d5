import swagger from '@fastify/swagger';
import type { TSchema } from '@sinclair/typebox';
import fastify, {
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifySchema,
} from 'fastify';
import type { AddressInfo } from 'node:net';
import { version, withDeadline, type Logger } from '../../base/index.js';
import { validatorOf } from '../../protocol/index.js';
import { AddressError, RequestError } from '../errors.js';
import { hostPort, type Listen } from '../grpc/index.js';
import { artifactRoutes } from './artifacts.js';
import { clusterRoutes } from './cluster.js';
import type { RestContext } from './context.js';
import { eventRoutes } from './events.js';
import { checkHost, isLoopback } from './host.js';
import { jobRoutes } from './jobs.js';
import { planRoutes } from './plan.js';
import { outputRoutes } from './output.js';
import { problemOf, sendProblem } from './problem.js';

const LARGEST_BODY = 2 ** 20;
const CLOSE_SECONDS = 2;

export interface RestServer {
  readonly url: string;
  /** Ends streams, lets requests in progress finish for two seconds, then cuts them. */
  close(): Promise<void>;
}

/** Serves REST. @throws AddressError */
export async function startRestServer(
  { host, port }: Listen,
  context: Omit<RestContext, 'closing'>,
  logger: Logger,
): Promise<RestServer> {
  const closing = new AbortController();
  const log: FastifyBaseLogger = logger.child({ part: 'rest' }, { level: 'warn' });
  const app: FastifyInstance = fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: LARGEST_BODY,
    forceCloseConnections: 'idle',
    exposeHeadRoutes: false,
    // of addresses that it cannot read, before any handler
    frameworkErrors: (error, _request, reply) => {
      void sendProblem(reply, problemOf(error));
    },
  });
  await configure(app, { ...context, closing: closing.signal }, isLoopback(host));
  try {
    await app.listen({ host, port });
  } catch (error) {
    await app.close();
    throw new AddressError('REST address', hostPort(host, port), error);
  }
  const { port: taken } = app.server.address() as AddressInfo;
  return {
    url: `http://${hostPort(host, taken)}`,
    close: async () => {
      closing.abort();
      await withDeadline(app.close(), CLOSE_SECONDS, 'REST').catch(() => app.server.closeAllConnections());
    },
  };
}

async function configure(app: FastifyInstance, context: RestContext, loopback: boolean): Promise<void> {
  // one validator for all of dtrain; its messages name field, found and expected
  app.setValidatorCompiler(({ schema, httpPart }) => {
    const check = validatorOf(schema as TSchema);
    return (value: unknown) => {
      try {
        return { value: check(value, httpPart === 'body' ? 'submission' : (httpPart ?? 'request')) };
      } catch (error) {
        return { error: error as Error };
      }
    };
  });
  // schemas of answers are the documentation; tests hold the answers to them
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  app.setErrorHandler((error, request, reply) => {
    const problem = problemOf(error);
    if (problem.status >= 500 && problem.status !== 503) request.log.error({ err: error }, problem.code);
    return sendProblem(reply, problem);
  });
  app.setNotFoundHandler((request, reply) =>
    sendProblem(
      reply,
      problemOf(
        new RequestError('not_found', `there is no ${request.method} ${request.url}; see /openapi.json`),
      ),
    ),
  );
  app.addHook('onRequest', (request, _reply, done) => {
    if (loopback) checkHost(request.headers.host);
    if (request.url.startsWith('/v1/jobs')) context.redis.requireUp();
    done();
  });
  await app.register(swagger, {
    exposeHeadRoutes: true,
    // OpenAPI has no wildcard: the rest of a path is a parameter called `path`
    transform: ({ schema, url }) => ({ schema: withPathName(schema), url: url.replace(/\*$/, ':path') }),
    openapi: {
      openapi: '3.1.0',
      info: { title: 'dtrain', version, description: 'Train one neural network on all the devices you own.' },
      tags: [{ name: 'jobs' }, { name: 'artifacts' }, { name: 'cluster' }],
    },
  });
  jobRoutes(app, context);
  planRoutes(app, context);
  eventRoutes(app, context);
  artifactRoutes(app, context);
  outputRoutes(app, context);
  clusterRoutes(app, context);
}

function withPathName(schema: FastifySchema): FastifySchema {
  const params = schema.params as { properties?: Record<string, unknown> } | undefined;
  if (!params?.properties || !('*' in params.properties)) return schema;
  const { '*': path, ...others } = params.properties;
  return { ...schema, params: { ...params, properties: { ...others, path } } };
}
