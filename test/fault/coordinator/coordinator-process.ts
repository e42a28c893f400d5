import type { Socket } from 'node:net';
import { join } from 'node:path';
import { createLogger } from '../../../base/index.js';
import { startCoordinator, startPrivateRedis } from '../../../coordinator/index.js';

/** A process of its own for tests that kill it: prints where it is, ends on SIGTERM. */
const dataDir = process.argv[2]!;
const logger = createLogger('coordinator', 'silent');
const anyPort = { host: '127.0.0.1', port: 0 };
const redis = await startPrivateRedis({ dataDir: join(dataDir, 'redis'), logger });
const coordinator = await startCoordinator({
  redisUrl: redis.url,
  grpc: anyPort,
  http: anyPort,
  dataDir,
  logger,
});
// the test that started it is gone
process.stdin.on('end', () => process.exit(1)).resume();
(process.stdin as Socket).unref();
process.once('SIGTERM', () => {
  void coordinator.close().then(() => redis.close());
});
console.log(
  JSON.stringify({ redisPid: redis.pid, http: coordinator.httpUrl, grpc: coordinator.grpcAddress }),
);
