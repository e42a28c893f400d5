import { createReadStream } from 'node:fs';
import { Readable, Transform } from 'node:stream';
import type { Plan } from '../../scheduler/index.js';
import type { JobRecord, Submission } from '../../protocol/index.js';
import type { DevicePage, Health, JobLogRow, JobPage, OutputFiles } from '../../protocol/index.js';
import { CoordinatorUnreachableError, InterruptedError, NotACoordinatorError } from '../errors.js';
import { problemFrom } from './problem.js';

/** Where the bytes of an upload come from. */
export type Upload = { readonly bytes: Uint8Array } | { readonly path: string; readonly size: number };

/**
 * The coordinator's REST, as far as the command line needs it (docs/rest.md).
 *
 * Every call ends early with an InterruptedError when `interrupt` is aborted.
 * @throws CoordinatorUnreachableError when nothing answers, ProblemError for an answer that is a problem
 */
export class RestClient {
  constructor(
    readonly url: string,
    private readonly interrupt: AbortSignal,
  ) {}

  /** Whether a coordinator answers here within `seconds`. */
  async isThere(seconds: number): Promise<boolean> {
    try {
      const signal = AbortSignal.any([this.interrupt, AbortSignal.timeout(seconds * 1000)]);
      return (await fetch(`${this.url}/healthz`, { signal })).status < 600;
    } catch {
      return false;
    }
  }

  health(): Promise<Health> {
    return this.json('GET', '/healthz');
  }

  devices(): Promise<DevicePage> {
    return this.json('GET', '/v1/devices');
  }

  jobs(query: { state?: string; limit?: string; cursor?: string }): Promise<JobPage> {
    const text = new URLSearchParams(query).toString();
    return this.json('GET', `/v1/jobs${text === '' ? '' : `?${text}`}`);
  }

  job(id: string): Promise<JobRecord> {
    return this.json('GET', jobPath(id));
  }

  cancel(id: string): Promise<JobRecord> {
    return this.json('POST', `${jobPath(id)}/cancel`);
  }

  /** Submits. `created` is false when the key was used before: then the job is the one made the first time. */
  async submit(
    submission: Submission,
    idempotencyKey: string,
  ): Promise<{ job: JobRecord; created: boolean }> {
    const headers = { 'idempotency-key': idempotencyKey };
    const { value, status } = await this.answer('POST', '/v1/jobs', JSON.stringify(submission), headers);
    return { job: value as JobRecord, created: status !== 200 };
  }

  /** What a submission would be launched with if all devices were free; nothing is queued. */
  async plan(submission: Submission): Promise<Plan> {
    return (await this.answer('POST', '/v1/plan', JSON.stringify(submission))).value as Plan;
  }

  logs(id: string): Promise<{ rows: JobLogRow[] }> {
    return this.json('GET', `${jobPath(id)}/logs`);
  }

  output(id: string): Promise<OutputFiles> {
    return this.json('GET', `${jobPath(id)}/output`);
  }

  /** The bytes of one file of a job's output. */
  async outputFile(id: string, name: string): Promise<Readable> {
    const path = name.split('/').map(encodeURIComponent).join('/');
    return bodyOf(await this.request('GET', `${jobPath(id)}/output/${path}`));
  }

  async hasArtifact(sha256: string): Promise<boolean> {
    const response = await this.fetch('HEAD', `/v1/artifacts/${sha256}`);
    if (response.status !== 404 && !response.ok) throw await problemFrom(response, this.url);
    return response.ok;
  }

  /** Uploads an artifact; `onBytes` hears of each piece as it leaves. */
  async putArtifact(sha256: string, upload: Upload, onBytes: (count: number) => void): Promise<void> {
    const source =
      'bytes' in upload ? piecesOf(upload.bytes) : createReadStream(upload.path, { highWaterMark: PIECE });
    const counter = new Transform({
      transform(piece: Buffer, _encoding, done) {
        onBytes(piece.length);
        done(null, piece);
      },
    });
    source.on('error', (error: Error) => counter.destroy(error));
    const size = 'bytes' in upload ? upload.bytes.length : upload.size;
    const response = await this.fetch('PUT', `/v1/artifacts/${sha256}`, {
      body: Readable.toWeb(source.pipe(counter)) as ReadableStream,
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(size) },
      duplex: 'half',
    });
    if (!response.ok) throw await problemFrom(response, this.url);
    await response.arrayBuffer();
  }

  /** Opens a streaming answer, for instance an event stream that goes on after the event `after`. */
  async stream(path: string, accept: string, after?: string): Promise<Readable> {
    const headers = { accept, ...(after === undefined ? {} : { 'last-event-id': after }) };
    return bodyOf(await this.request('GET', path, { headers }));
  }

  private async json<T>(method: string, path: string): Promise<T> {
    return (await this.answer(method, path)).value as T;
  }

  private async answer(
    method: string,
    path: string,
    body?: string,
    headers: Record<string, string> = {},
  ): Promise<{ value: unknown; status: number }> {
    const response = await this.request(method, path, {
      ...(body === undefined ? {} : { body }),
      headers: {
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
    });
    try {
      return { value: await response.json(), status: response.status };
    } catch (error) {
      throw new NotACoordinatorError(this.url, `${method} ${path} is no JSON (${String(error)})`);
    }
  }

  private async request(method: string, path: string, init: RequestInit = {}): Promise<Response> {
    const response = await this.fetch(method, path, init);
    if (!response.ok) throw await problemFrom(response, this.url);
    return response;
  }

  private async fetch(
    method: string,
    path: string,
    init: RequestInit & { duplex?: 'half' } = {},
  ): Promise<Response> {
    try {
      return await fetch(this.url + path, { method, signal: this.interrupt, ...init });
    } catch (error) {
      if (this.interrupt.aborted) throw new InterruptedError();
      throw new CoordinatorUnreachableError(this.url, error);
    }
  }
}

const PIECE = 256 * 1024;

export function jobPath(id: string): string {
  return `/v1/jobs/${encodeURIComponent(id)}`;
}

function piecesOf(bytes: Uint8Array): Readable {
  const starts = Array.from({ length: Math.ceil(bytes.length / PIECE) }, (_, i) => i * PIECE);
  return Readable.from(starts.map((start) => Buffer.from(bytes.subarray(start, start + PIECE))));
}

function bodyOf(response: Response): Readable {
  return response.body ? Readable.fromWeb(response.body) : Readable.from([]);
}
