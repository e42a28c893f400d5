import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { systemClock, withDeadline, type Clock, type Logger, type Seconds } from '../base/index.js';
import type { JobState } from '../protocol/index.js';
import { ArtifactStore } from './artifacts/index.js';
import { Dispatcher } from './dispatch/index.js';
import { HostError, RedisUnavailableError } from './errors.js';
import { startGrpcServer, type Listen } from './grpc/index.js';
import { JobBoard, recordOf, RedisJobStore } from './job/index.js';
import { Members } from './membership/index.js';
import { CoordinatorMetrics } from './metrics/index.js';
import { PreparationThread } from './prepare/index.js';
import { BullControlQueue } from './queue/index.js';
import { RedisLink } from './redis/index.js';
import { startRestServer } from './rest/index.js';
import { submit } from './submission/index.js';

export interface CoordinatorOptions {
  readonly redisUrl: string;
  /** Where workers join; port 0 takes any free one. */
  readonly grpc: Listen;
  /** Where REST is. */
  readonly http: Listen;
  /** Folder for artifacts and for the results of jobs that have no output folder of their own. */
  readonly dataDir: string;
  readonly logger: Logger;
  readonly clock?: Clock;
}

export interface Coordinator {
  /** HOST:PORT, as taken. */
  readonly grpcAddress: string;
  readonly httpUrl: string;
  /** Ends running jobs (they fail with `coordinator_stopped`), queued ones stay queued. Nothing runs afterwards. */
  close(): Promise<void>;
}

/** Running jobs are ended when Redis has been away for so long. */
const REDIS_PATIENCE: Seconds = 10;
/** What a close waits for at most, for each of: ranks to stop, the log to be written. */
const CLOSE_SECONDS: Seconds = 3;
const COUNT_SECONDS: Seconds = 5;

/**
 * Starts a coordinator. Jobs that were running when an earlier one died are failed (`coordinator_restarted`), queued
 * ones go on waiting for devices.
 * @throws RedisUnavailableError, AddressError, each naming the address; nothing is left running then
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const { redisUrl, logger, clock = systemClock } = options;
  const dataDir = resolve(options.dataDir);
  const closers: (() => void | Promise<void>)[] = [];
  const closeAll = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const redis = await RedisLink.open(redisUrl, clock, logger);
    closers.push(() => redis.close());
    const jobsDir = join(dataDir, 'jobs');
    await mkdir(jobsDir, { recursive: true });
    const artifacts = await ArtifactStore.open(join(dataDir, 'artifacts'));
    const preparation = new PreparationThread(logger);
    closers.push(() => preparation.close());
    const store = new RedisJobStore(redis);
    const board = new JobBoard(store, redis, logger, (job, error) => {
      logger.error({ job }, error.message);
      dispatcher.abort(job, error);
    });
    closers.push(() => board.close());
    const members: Members = new Members(clock, logger, {
      rank: (tenant, device, message) => dispatcher.rank(tenant, device, message),
      lost: (tenant, failure) => dispatcher.lost(tenant, failure),
      changed: () => dispatcher.advance(),
    });
    closers.push(() => members.close());
    const dispatcher: Dispatcher = new Dispatcher({
      board,
      members,
      artifacts,
      exportModel: (paths) => preparation.exportModel(paths),
      jobsDir,
      clock,
      logger,
    });
    const queued = await recover(store, board, clock);
    const queue = await BullControlQueue.open(
      redisUrl,
      async ({ jobId }) => {
        const ledger = await board.open(jobId);
        if (ledger) dispatcher.admit(ledger);
      },
      logger,
    );
    closers.push(() => queue.close());
    const counts = new Counts(store, queue, clock);
    closers.push(() => counts.close());
    const metrics = new CoordinatorMetrics({
      live: () => board.jobs().map(recordOf),
      devices: () => members.records(),
      redisUp: () => redis.isUp,
      counts: () => counts.jobs,
      queued: () => counts.queued,
    });
    closers.push(() => metrics.close());
    const grpc = await startGrpcServer(options.grpc, { members, artifacts });
    closers.push(() => grpc.close());
    closers.push(endRuns(dispatcher, board));
    closers.push(watchRedis(redis, dispatcher, clock));
    const rest = await startRestServer(
      options.http,
      {
        board,
        store,
        members,
        dispatcher,
        artifacts,
        redis,
        metrics,
        jobsDir,
        grpcAddress: grpc.address,
        submit: async (submission, key) => {
          const stop = metrics.submissions.startTimer();
          const { id, first } = await submit(submission, key, {
            store,
            artifacts,
            preparation,
            members,
            jobsDir,
            clock,
          });
          if (first) {
            board.begin(first);
            await queue.add({ kind: 'launch', jobId: id });
          }
          stop();
          return { id, created: first !== undefined };
        },
      },
      logger,
    );
    closers.push(() => rest.close());
    for (const jobId of queued) await queue.add({ kind: 'launch', jobId });
    logger.info({ grpc: grpc.address, http: rest.url, redis: redis.address }, 'the coordinator is up');
    let closing: Promise<void> | undefined;
    return { grpcAddress: grpc.address, httpUrl: rest.url, close: () => (closing ??= closeAll()) };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** Fails the jobs that ran when the last coordinator died. @returns the ids of those that wait */
async function recover(store: RedisJobStore, board: JobBoard, clock: Clock): Promise<string[]> {
  const idsIn = async (state: JobState) => {
    const ids: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await store.list({ state, limit: 100, ...(cursor === undefined ? {} : { cursor }) });
      ids.push(...page.jobs.map((job) => job.id));
      cursor = page.cursor ?? undefined;
    } while (cursor !== undefined);
    return ids.reverse();
  };
  for (const state of ['planning', 'starting', 'running'] as const) {
    for (const id of await idsIn(state)) {
      const ledger = await board.open(id);
      ledger?.record({
        type: 'failed',
        at: clock.epochMs(),
        error: {
          family: 'peer',
          code: 'coordinator_restarted',
          message: 'the coordinator ended while the job ran; submit the job again',
          device: null,
        },
      });
    }
  }
  await board.settled();
  return idsIn('queued');
}

/** Ends running jobs when Redis stays away: nobody could see them, and their end could not be kept. */
function watchRedis(redis: RedisLink, dispatcher: Dispatcher, clock: Clock): () => void {
  let cancel: () => void = () => undefined;
  const stop = redis.onChange((up) => {
    cancel();
    if (up) return;
    cancel = clock.after(REDIS_PATIENCE, () => {
      dispatcher.abortAll(
        new RedisUnavailableError(
          redis.address,
          undefined,
          `it was away for ${REDIS_PATIENCE} s, so the job was stopped; submit it again`,
        ),
      );
    });
  });
  return () => {
    cancel();
    stop();
  };
}

function endRuns(dispatcher: Dispatcher, board: JobBoard): () => Promise<void> {
  return async () => {
    const error = new HostError(
      'coordinator_stopped',
      'the coordinator was stopped while the job ran; submit the job again',
    );
    await withDeadline(dispatcher.close(error), CLOSE_SECONDS, 'the ranks').catch(() => undefined);
    await withDeadline(board.settled(), CLOSE_SECONDS, 'the job log').catch(() => undefined);
  };
}

/** Numbers that only Redis knows, counted from time to time so that a scrape need not ask. */
class Counts {
  jobs: Partial<Record<JobState, number>> = {};
  queued = 0;
  private cancel: () => void = () => undefined;
  private closed = false;

  constructor(
    private readonly store: RedisJobStore,
    private readonly queue: BullControlQueue,
    private readonly clock: Clock,
  ) {
    void this.count();
  }

  close(): void {
    this.closed = true;
    this.cancel();
  }

  private async count(): Promise<void> {
    try {
      this.jobs = await this.store.counts();
      this.queued = await this.queue.waiting();
    } catch (error) {
      if (!(error instanceof RedisUnavailableError)) throw error;
    }
    if (!this.closed) this.cancel = this.clock.after(COUNT_SECONDS, () => void this.count());
  }
}
