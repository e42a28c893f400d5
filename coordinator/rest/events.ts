import type { FastifyInstance } from 'fastify';
import type { ServerResponse } from 'node:http';
import { once } from 'node:events';
import { join } from 'node:path';
import { isTerminal, ProblemSchema, type JobStreamEvent } from '../../protocol/index.js';
import type { JobBoard } from '../job/index.js';
import { OUTPUT } from '../results/index.js';
import type { RestContext } from './context.js';
import { jobParams, logPath, type JobParams } from './params.js';
import { readLines } from './rows.js';
import { Waker } from './waker.js';

const COMMENT_MS = 10_000;

/** Where a reader stands: events of the job seen, bytes read of its metrics and of its log. */
interface Position {
  version: number;
  metrics: number;
  log: number;
  /** The file that `metrics` is of, once one was read: a job that is launched again begins another. */
  metricsFile?: string;
}

/** Server-sent events of a job: https://html.spec.whatwg.org/multipage/server-sent-events.html */
export function eventRoutes(app: FastifyInstance, context: RestContext): void {
  app.get<{ Params: JobParams }>(
    '/v1/jobs/:id/events',
    {
      schema: {
        summary: 'Follow a job',
        description:
          'Server-sent events until the job has ended: `job` (a job record), `metric` (a row of metrics.jsonl), `log`. ' +
          'Send the last id back as Last-Event-ID to go on from there.',
        tags: ['jobs'],
        params: jobParams,
        headers: {
          type: 'object',
          properties: { 'last-event-id': { type: 'string', examples: ['3-1024-0'] } },
        },
        response: {
          200: { description: 'events', content: { 'text/event-stream': { schema: { type: 'string' } } } },
          404: ProblemSchema,
          503: ProblemSchema,
        },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const view = await context.board.view(id); // problems are answered before the stream begins
      reply.hijack();
      reply.raw.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      });
      const ended = new AbortController();
      const end = () => ended.abort();
      reply.raw.once('close', end);
      context.closing.addEventListener('abort', end, { once: true });
      const last = request.headers['last-event-id'];
      const position = positionFrom(typeof last === 'string' ? last : undefined);
      try {
        const files = { metrics: join(view.output.directory, OUTPUT.metrics), log: logPath(context, id) };
        await follow(context.board, id, files, position, reply.raw, ended.signal);
      } catch (error) {
        if (!ended.signal.aborted) request.log.warn({ err: error, job: id }, 'an event stream broke off');
      } finally {
        context.closing.removeEventListener('abort', end);
        reply.raw.end();
      }
    },
  );
}

/**
 * Reads on whenever something changed, from where it stands: a slow reader holds nothing in memory but its position,
 * and the rows that its socket has not taken yet.
 */
async function follow(
  board: JobBoard,
  id: string,
  files: { readonly metrics: string; readonly log: string },
  position: Position,
  response: ServerResponse,
  ended: AbortSignal,
): Promise<void> {
  const waker = new Waker();
  const stop = board.watch(id, waker.wake);
  ended.addEventListener('abort', waker.wake, { once: true });
  const send = async (event: JobStreamEvent, data: string) => {
    const text = `event: ${event}\nid: ${position.version}-${position.metrics}-${position.log}\ndata: ${data}\n\n`;
    if (!response.write(text)) await once(response, 'drain', { signal: ended });
  };
  try {
    while (!ended.aborted) {
      // the view first: rows that a terminal state waited for are in the files by then
      const { record, version } = await board.view(id);
      await drain(files.metrics, 'metrics', 'metric', position, send);
      await drain(files.log, 'log', 'log', position, send);
      if (version !== position.version) {
        position.version = version;
        await send('job', JSON.stringify(record));
      }
      if (isTerminal(record.state)) return;
      if (!(await waker.sleep(COMMENT_MS))) response.write(': still here\n\n');
    }
  } finally {
    stop();
    ended.removeEventListener('abort', waker.wake);
  }
}

async function drain(
  path: string,
  file: 'metrics' | 'log',
  event: JobStreamEvent,
  position: Position,
  send: (event: JobStreamEvent, data: string) => Promise<void>,
): Promise<void> {
  for (;;) {
    const start = position[file];
    const known = file === 'metrics' ? position.metricsFile : undefined;
    const { lines, next, file: read } = await readLines(path, start, known);
    if (file === 'metrics' && read !== undefined) position.metricsFile = read;
    if (lines.length === 0) {
      position[file] = next;
      return;
    }
    // ids count bytes up to the end of each row; the last may not be where a made-up id would have put it
    let at = next - lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);
    for (const line of lines) {
      at += Buffer.byteLength(line) + 1;
      position[file] = at;
      await send(event, line);
    }
  }
}

/** Reads an event id; anything else begins at the start. */
function positionFrom(id: string | undefined): Position {
  const match = /^(\d{1,15})-(\d{1,15})-(\d{1,15})$/.exec(id ?? '');
  return { version: Number(match?.[1] ?? 0), metrics: Number(match?.[2] ?? 0), log: Number(match?.[3] ?? 0) };
}
