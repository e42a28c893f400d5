import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, sha256, type Clock } from '../../../base/index.js';
import {
  startCoordinator,
  startPrivateRedis,
  type Coordinator,
  type PrivateRedis,
} from '../../../coordinator/index.js';
import { readModel, writeSafetensors } from '../../../graph/index.js';
import { referenceTo, type JobRecord, type JobSpec } from '../../../protocol/index.js';
import { repositoryRoot } from '../../root.js';

export const modelBytes: Uint8Array = readFileSync(
  join(repositoryRoot, 'test/fixtures/models/tabular/model.onnx'),
);

/** Trained weights of the model: its own, in safetensors. */
export const weightBytes: Uint8Array = writeSafetensors(readModel(modelBytes).graph.parameters);

/** 16 rows of 8 features and a target. */
export const dataBytes: Uint8Array = Buffer.from(
  Array.from({ length: 16 }, (_, row) =>
    Array.from({ length: 9 }, (_, column) => ((row * 7 + column * 3) % 11) / 10).join(','),
  ).join('\n') + '\n',
);

/** A job of 8 steps over `dataBytes`. */
export function jobOf(change: Partial<JobSpec> = {}): JobSpec {
  return {
    name: 'table',
    model: referenceTo(sha256(modelBytes)),
    data: { train: { format: 'csv', path: referenceTo(sha256(dataBytes)), target: -1, header: false } },
    loss: 'mse',
    optimizer: { kind: 'sgd', lr: 0.1 },
    batch: 4,
    ...(change.steps === undefined ? { epochs: 2 } : {}),
    ...change,
  };
}

export interface Setup {
  readonly redis: PrivateRedis;
  readonly coordinator: Coordinator;
  readonly folder: string;
  readonly rest: Rest;
  close(): Promise<void>;
}

/** A coordinator with a Redis of its own in a fresh folder, and the fixture's artifacts uploaded. */
export async function setUp(
  options: { clock?: Clock; redis?: PrivateRedis; folder?: string } = {},
): Promise<Setup> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'dtrain-coordinator-'));
  const logger = createLogger('test', process.env['DTRAIN_LOG'] ?? 'silent');
  const redis = options.redis ?? (await startPrivateRedis({ dataDir: join(folder, 'redis'), logger }));
  const coordinator = await startCoordinator({
    redisUrl: redis.url,
    grpc: { host: '127.0.0.1', port: 0 },
    http: { host: '127.0.0.1', port: 0 },
    dataDir: folder,
    logger,
    ...(options.clock ? { clock: options.clock } : {}),
  });
  const rest = new Rest(coordinator.httpUrl);
  await rest.upload(modelBytes);
  await rest.upload(dataBytes);
  return {
    redis,
    coordinator,
    folder,
    rest,
    close: async () => {
      await coordinator.close();
      if (!options.redis) await redis.close();
      if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface Answer<T> {
  readonly status: number;
  readonly body: T;
  readonly headers: Headers;
}

export interface ProblemBody {
  readonly code: string;
  readonly detail: string;
  readonly status: number;
  readonly type: string;
  readonly title: string;
  readonly ids: Record<string, unknown>;
}

/** REST as a client sees it. */
export class Rest {
  constructor(readonly url: string) {}

  async ask<T>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer<T>> {
    const response = await fetch(this.url + path, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: (text === '' ? undefined : JSON.parse(text)) as T,
    };
  }

  async upload(bytes: Uint8Array, hash = sha256(bytes)): Promise<Response> {
    const response = await fetch(`${this.url}/v1/artifacts/${hash}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/octet-stream' },
      body: new Uint8Array(bytes),
    });
    return response;
  }

  async submit(
    job: JobSpec,
    extra: object = {},
    headers: Record<string, string> = {},
  ): Promise<Answer<JobRecord & ProblemBody>> {
    return this.ask('POST', '/v1/jobs', { job, ...extra }, headers);
  }

  async job(id: string): Promise<JobRecord> {
    return (await this.ask<JobRecord>('GET', `/v1/jobs/${id}`)).body;
  }

  /** Waits for a state by the job's own events. */
  async until(id: string, done: (job: JobRecord) => boolean): Promise<JobRecord> {
    for await (const { event, data } of this.events(id)) {
      if (event !== 'job') continue;
      const job = JSON.parse(data) as JobRecord;
      if (done(job)) return job;
    }
    return this.job(id);
  }

  over(id: string): Promise<JobRecord> {
    return this.until(id, (job) => job.endedAt !== null);
  }

  async *events(
    id: string,
    lastEventId?: string,
  ): AsyncGenerator<{ id: string; event: string; data: string }> {
    const abort = new AbortController();
    const response = await fetch(`${this.url}/v1/jobs/${id}/events`, {
      signal: abort.signal,
      headers: lastEventId === undefined ? {} : { 'last-event-id': lastEventId },
    });
    const decoder = new TextDecoder();
    let text = '';
    try {
      for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) {
        text += decoder.decode(piece, { stream: true });
        for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
          const fields = Object.fromEntries(
            text
              .slice(0, end)
              .split('\n')
              .filter((line) => !line.startsWith(':'))
              .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
          ) as { id?: string; event?: string; data?: string };
          text = text.slice(end + 2);
          if (fields.data !== undefined) yield { id: fields.id!, event: fields.event!, data: fields.data };
        }
      }
    } finally {
      abort.abort();
    }
  }
}
