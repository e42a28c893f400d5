import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { systemClock, withDeadline, type Clock, type Logger, type Seconds } from '../base/index.js';
import { ArtifactStore } from './artifacts/index.js';
import { Dispatcher, planAgain, planQuestion, type PlanJob } from './dispatch/index.js';
import { HostError, RedisUnavailableError } from './errors.js';
import { startGrpcServer, type Listen } from './grpc/index.js';
import { failOrphans, JobBoard, recordOf, RedisJobStore } from './job/index.js';
import { Members } from './membership/index.js';
import { CoordinatorMetrics, Counts } from './metrics/index.js';
import { PreparationThreads } from './prepare/index.js';
import { Profiler, Timings } from './profiling/index.js';
import { BullControlQueue } from './queue/index.js';
import { Ownership, RedisLink } from './redis/index.js';
import { startRestServer } from './rest/index.js';
import { Intake } from './submission/index.js';
import type { Device } from '../scheduler/index.js';

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

/**
 * Starts a coordinator. Jobs that were running when an earlier one died are failed (`coordinator_restarted`), queued
 * ones go on waiting for devices.
 * @throws RedisUnavailableError, RedisInUseError, AddressError, each naming the address; nothing is left running then
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const closers: Closers = [];
  try {
    const started = await assemble(options, closers);
    let closing: Promise<void> | undefined;
    return { ...started, close: () => (closing ??= closeAll(closers)) };
  } catch (error) {
    await closeAll(closers);
    throw error;
  }
}

/** What ends the parts, in the order in which they were started. */
type Closers = (() => void | Promise<void>)[];

async function closeAll(closers: Closers): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close();
}

async function assemble(options: CoordinatorOptions, closers: Closers): Promise<Omit<Coordinator, 'close'>> {
  const { redisUrl, logger, clock = systemClock } = options;
  const dataDir = resolve(options.dataDir);
  const redis = await RedisLink.open(redisUrl, clock, logger);
  closers.push(() => redis.close());
  const ownership = await Ownership.take(redis, clock, logger);
  closers.push(() => ownership.release());
  const jobsDir = join(dataDir, 'jobs');
  await mkdir(jobsDir, { recursive: true });
  const artifacts = await ArtifactStore.open(join(dataDir, 'artifacts'));
  const preparation = new PreparationThreads(logger);
  closers.push(() => preparation.close());

  const store = new RedisJobStore(redis);
  const board = new JobBoard(store, redis, logger, (job, error) => {
    logger.error({ job }, error.message);
    dispatcher.abort(job, error);
  });
  closers.push(() => board.close());
  const members: Members = new Members(clock, logger, {
    rank: (tenant, device, message) => dispatcher.rank(tenant, device, message),
    beat: (tenant, step) => dispatcher.beat(tenant, step),
    lost: (tenant, failure) => dispatcher.lost(tenant, failure),
    // later: whoever caused the change has to finish first
    changed: () => {
      queueMicrotask(() => dispatcher.advance());
      profiler.changed();
    },
    profiled: (host, message) => profiler.receive(host, message),
  });
  closers.push(() => members.close());
  const timings = await Timings.open(join(dataDir, 'timings.json'), logger);
  closers.push(() => timings.settled());
  const profiler: Profiler = new Profiler(clock, logger, timings, members);
  const plan: PlanJob = async (job, model, devices, about) => {
    const free = new Set(members.free().map(({ id }) => id));
    const idle = devices.filter(({ id }) => free.has(id));
    if (about) await profiler.profile(job, model, idle, about.totalSteps);
    const calibrated = (rated: readonly Device[]) => profiler.calibrated(job, model, rated);
    const ask = (counted: readonly Device[]) =>
      preparation.plan(planQuestion(job, model, counted, members.topology(), calibrated));
    return about?.overrun ? planAgain(about.overrun, devices, ask) : ask(devices);
  };
  const dispatcher: Dispatcher = new Dispatcher({
    board,
    members,
    plan,
    learn: (job) => profiler.learn(job),
    artifacts,
    exportModel: (paths) => preparation.exportModel(paths),
    mergeWeights: (paths) => preparation.mergeWeights(paths),
    jobsDir,
    clock,
    logger,
  });
  await failOrphans(store, board, clock.epochMs());

  const queue = await BullControlQueue.open(
    redisUrl,
    async ({ jobId }) => {
      const ledger = await board.open(jobId);
      if (ledger) dispatcher.admit(ledger);
    },
    logger,
  );
  closers.push(() => queue.close());
  const intake = new Intake({ store, artifacts, preparation, plan, members, jobsDir, clock, board, queue });
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
  closers.push(() => {
    members.close(); // its streams would keep the server open
    return grpc.close();
  });
  closers.push(() => endRuns(dispatcher, board, redis));
  closers.push(watchRedis(redis, { dispatcher, intake, clock, logger }));
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
      intake,
      jobsDir,
      grpcAddress: grpc.address,
    },
    logger,
  );
  closers.push(() => rest.close());
  await intake.requeue();
  logger.info({ grpc: grpc.address, http: rest.url, redis: redis.address }, 'the coordinator is up');
  return { grpcAddress: grpc.address, httpUrl: rest.url };
}

/** Ends running jobs when Redis stays away: nobody could see them, and their end could not be kept. */
function watchRedis(
  redis: RedisLink,
  parts: {
    readonly dispatcher: Dispatcher;
    readonly intake: Intake;
    readonly clock: Clock;
    readonly logger: Logger;
  },
): () => void {
  const { dispatcher, intake, clock, logger } = parts;
  let cancel: () => void = () => undefined;
  const stop = redis.onChange((up) => {
    cancel();
    if (up) {
      intake
        .requeue()
        .catch((error: unknown) => logger.warn({ err: error }, 'waiting jobs were not queued again'));
      return;
    }
    cancel = clock.after(REDIS_PATIENCE, () => {
      const advice = `it was away for ${REDIS_PATIENCE} s, so the job was stopped; submit it again`;
      dispatcher.abortAll(new RedisUnavailableError(redis.address, undefined, advice));
    });
  });
  return () => {
    cancel();
    stop();
  };
}

async function endRuns(dispatcher: Dispatcher, board: JobBoard, redis: RedisLink): Promise<void> {
  const message = 'the coordinator was stopped while the job ran; submit the job again';
  const runs = dispatcher.close(new HostError('coordinator_stopped', message));
  await withDeadline(runs, CLOSE_SECONDS, 'the ranks').catch(() => undefined);
  if (!redis.isUp) return; // the next start finds what is not written as `coordinator_restarted`
  await withDeadline(board.settled(), CLOSE_SECONDS, 'the job log').catch(() => undefined);
}
