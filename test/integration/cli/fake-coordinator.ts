import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createHash } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { JobRecord, Submission } from '../../../protocol/index.js';
import { plan } from '../../unit/coordinator/samples.js';

/** Speaks just enough of the coordinator's REST to see what the command line does with it. */
export class FakeCoordinator {
  readonly artifacts = new Map<string, Buffer>();
  readonly puts: string[] = [];
  readonly submissions: { submission: Submission; key: string }[] = [];
  readonly resumedAfter: (string | undefined)[] = [];
  readonly outputs = new Map<string, string>();
  /** What each connection to the event stream gets before it is cut, one after the other. */
  streams: string[] = [];
  /** Answers a submission, instead of accepting it. */
  refusal: { status: number; body: string } | undefined;
  /** What is told of the job beside what it has anyway. */
  job: Partial<JobRecord> = {};
  /** Answers questions for a plan. */
  planning: { status: number; body: object } = { status: 200, body: plan };
  /** In the order in which they came. */
  readonly asked: ('plan' | 'submit')[] = [];
  private readonly server = createServer((request, response) => void this.answer(request, response));

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body: Buffer[] = [];
    for await (const piece of request) body.push(piece as Buffer);
    const bytes = Buffer.concat(body);
    const [path = ''] = (request.url ?? '').split('?');
    const json = (status: number, value: unknown, type = 'application/json') =>
      response.writeHead(status, { 'content-type': type }).end(JSON.stringify(value));
    const artifact = /^\/v1\/artifacts\/(\w+)$/.exec(path)?.[1];
    if (artifact !== undefined && request.method === 'HEAD') {
      response.writeHead(this.artifacts.has(artifact) ? 200 : 404).end();
    } else if (artifact !== undefined) {
      const found = createHash('sha256').update(bytes).digest('hex');
      this.artifacts.set(found, bytes);
      this.puts.push(artifact);
      json(201, { sha256: found, bytes: bytes.length, reference: `sha256:${found}` });
    } else if (path === '/v1/jobs' && request.method === 'POST') {
      this.asked.push('submit');
      this.submissions.push({
        submission: JSON.parse(bytes.toString()) as Submission,
        key: String(request.headers['idempotency-key']),
      });
      if (this.refusal) response.writeHead(this.refusal.status).end(this.refusal.body);
      else json(201, record({ state: 'queued' }));
    } else if (path === '/v1/plan') {
      this.asked.push('plan');
      if (this.planning.status === 200) json(200, this.planning.body);
      else json(this.planning.status, this.planning.body, 'application/problem+json');
    } else if (path === '/v1/jobs') {
      json(200, { jobs: [record({ state: 'running' })], cursor: null });
    } else if (path === '/v1/jobs/job_1/events') {
      this.resumedAfter.push(request.headers['last-event-id'] as string | undefined);
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(this.streams.shift() ?? '', () => response.destroy());
    } else if (path === '/v1/jobs/job_1/output') {
      const files = [...this.outputs].map(([name, text]) => ({ path: name, bytes: text.length }));
      json(200, { files });
    } else if (path.includes('/output/')) {
      response.end(this.outputs.get(decodeURIComponent(path.split('/output/')[1]!)));
    } else if (path === '/v1/jobs/job_1') {
      json(200, record({ state: 'running', ...this.job }));
    } else {
      json(404, problem(404, 'job_not_found', 'there is no such job'), 'application/problem+json');
    }
  }
}

export function problem(status: number, code: string, detail: string): object {
  return {
    type: `urn:dtrain:problem:${code}`,
    title: 'x',
    status,
    detail,
    code,
    family: 'user',
    ids: { field: 'batch' },
  };
}

export function record(overrides: Partial<JobRecord>): JobRecord {
  return {
    id: 'job_1',
    name: 'digits',
    state: 'queued',
    step: 0,
    totalSteps: null,
    loss: null,
    validationLoss: null,
    validationAccuracy: null,
    samplesPerSecond: null,
    etaSeconds: null,
    devices: [],
    explanation: [],
    performance: null,
    output: { directory: '/far/away', delivered: false },
    createdAt: '2026-01-01T00:00:00.000Z',
    startedAt: null,
    endedAt: null,
    error: null,
    ...overrides,
  };
}

export function jobEvent(id: number, job: Partial<JobRecord>): string {
  return `event: job\nid: ${id}\ndata: ${JSON.stringify(record(job))}\n\n`;
}
