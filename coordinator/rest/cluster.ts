import type { FastifyInstance } from 'fastify';
import { version } from '../../base/index.js';
import { DevicePageSchema, HealthSchema, type Health } from '../../protocol/index.js';
import type { RestContext } from './context.js';

/** The cluster rather than a job: devices, health, metrics, the interface's own description. */
export function clusterRoutes(
  app: FastifyInstance,
  { members, redis, metrics, grpcAddress }: RestContext,
): void {
  app.get(
    '/v1/devices',
    {
      schema: {
        summary: 'Devices that have joined, and the links between their hosts',
        tags: ['cluster'],
        response: { 200: DevicePageSchema },
      },
    },
    () => ({ devices: members.records(), links: members.linkRecords() }),
  );

  app.get(
    '/healthz',
    {
      schema: {
        summary: 'Health',
        description: '200 when all is well; 503 while Redis is away.',
        tags: ['cluster'],
        response: { 200: HealthSchema, 503: HealthSchema },
      },
    },
    (_request, reply) => {
      const health: Health = {
        status: redis.isUp ? 'ok' : 'degraded',
        version,
        redis: redis.isUp ? 'up' : 'down',
        workers: members.count,
        devices: members.devices().length,
        grpc: grpcAddress,
      };
      return reply.code(redis.isUp ? 200 : 503).send(health);
    },
  );

  app.get(
    '/metrics',
    {
      schema: {
        summary: 'Prometheus metrics',
        tags: ['cluster'],
        response: {
          200: { description: 'metrics', content: { 'text/plain': { schema: { type: 'string' } } } },
        },
      },
    },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()),
  );

  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
}
