import { isTerminal, type JobLogRow, type JobRecord, type MetricRow } from '../../protocol/index.js';
import type { Clock, Seconds } from '../../base/index.js';
import { CoordinatorUnreachableError, InterruptedError } from '../errors.js';
import { jobPath, type RestClient } from './rest.js';
import { EventStreamParser, type ServerEvent } from './sse.js';

/** What `GET /v1/jobs/{id}/events` tells. */
export type JobEvent =
  | { readonly kind: 'job'; readonly job: JobRecord }
  | { readonly kind: 'metric'; readonly row: MetricRow }
  | { readonly kind: 'log'; readonly row: JobLogRow };

/** A coordinator that has been away for longer than this is given up. */
const PATIENCE: Seconds = 60;
const RETRY: Seconds = 0.5;

/**
 * A job's events until it has ended; the last one is the job in its terminal state.
 *
 * Reconnects where it left off when the connection breaks, for up to a minute without an answer; `onGap` hears of it.
 * @throws ProblemError for an unknown job, CoordinatorUnreachableError, InterruptedError
 */
export async function* followJob(
  client: RestClient,
  id: string,
  { clock, interrupt, onGap }: { clock: Clock; interrupt: AbortSignal; onGap: (error: unknown) => void },
): AsyncGenerator<JobEvent> {
  let lastId: string | undefined;
  let answeredAt = clock.monotonic();
  let known = false;
  for (;;) {
    try {
      const parser = new EventStreamParser();
      const decoder = new TextDecoder();
      const stream = await client.stream(`${jobPath(id)}/events`, 'text/event-stream', lastId);
      known = true;
      for await (const piece of stream) {
        answeredAt = clock.monotonic();
        for (const event of parser.push(decoder.decode(piece as Uint8Array, { stream: true }))) {
          lastId = event.id ?? lastId;
          const told = jobEvent(event);
          if (told) yield told;
          if (told?.kind === 'job' && isTerminal(told.job.state)) return;
        }
      }
    } catch (error) {
      if (interrupt.aborted) throw new InterruptedError();
      const lost =
        error instanceof CoordinatorUnreachableError || !(error instanceof Error && 'family' in error);
      if (!known || !lost) throw error;
      if (clock.monotonic() - answeredAt > PATIENCE) throw new CoordinatorUnreachableError(client.url, error);
      onGap(error);
    }
    await pause(clock, RETRY, interrupt);
  }
}

function jobEvent({ type, data }: ServerEvent): JobEvent | undefined {
  if (type === 'job') return { kind: 'job', job: JSON.parse(data) as JobRecord };
  if (type === 'metric') return { kind: 'metric', row: JSON.parse(data) as MetricRow };
  if (type === 'log') return { kind: 'log', row: JSON.parse(data) as JobLogRow };
  return undefined; // a later version may tell more
}

/** Waits; ends at once when interrupted, and keeps the process alive meanwhile. */
async function pause(clock: Clock, seconds: Seconds, interrupt: AbortSignal): Promise<void> {
  const alive = setInterval(() => undefined, 1000);
  await new Promise<void>((resolve) => {
    clock.after(seconds, resolve);
    interrupt.addEventListener('abort', () => resolve(), { once: true });
  });
  clearInterval(alive);
}
