import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { sha256, withDeadline, type Logger } from '../../base/index.js';
import { RedisUnavailableError } from '../errors.js';
import { addressOf, hangUp, producerOptions, workerOptions } from '../redis/index.js';
import type { ControlQueue, QueueEntry, QueueHandler } from './port.js';

/** The hash tag of the job store: one node of a cluster holds both. */
const PREFIX = '{dtrain}';
const NAME = 'control';
const ATTEMPTS = 5;
/** An entry whose handler was lost on the way (Redis went) is delivered again after this long. */
const STALLED_MS = 5000;
const CLOSE_SECONDS = 2;

/**
 * The control queue on BullMQ: the only file that knows it.
 *
 * Two connections, as their uses differ: the producer's fails at once when Redis is away (a submission then is a
 * clear refusal), the worker's waits for Redis to come back.
 */
export class BullControlQueue implements ControlQueue {
  private constructor(
    private readonly address: string,
    private readonly producer: Redis,
    private readonly consumer: ConsumerRedis,
    private readonly queue: Queue<QueueEntry>,
    private readonly worker: Worker<QueueEntry>,
  ) {}

  static async open(url: string, handler: QueueHandler, logger: Logger): Promise<BullControlQueue> {
    const producer = new Redis(url, { ...producerOptions });
    const consumer = new ConsumerRedis(url, { ...workerOptions });
    const quiet = (error: Error) => logger.debug({ err: error.message }, 'queue connection');
    producer.on('error', quiet);
    consumer.on('error', quiet);
    await Promise.all([producer, consumer].map((redis) => untilReady(redis)));
    const queue = new Queue<QueueEntry>(NAME, { connection: producer, prefix: PREFIX });
    // entries that a coordinator took and died with would be held back until they count as stalled; every job
    // that waits is queued anew from the job log
    await queue.obliterate({ force: true });
    const worker = new Worker<QueueEntry>(NAME, (entry) => handler(entry.data), {
      connection: consumer,
      prefix: PREFIX,
      concurrency: 1,
      lockDuration: STALLED_MS,
      stalledInterval: STALLED_MS,
      maxStalledCount: ATTEMPTS,
    });
    queue.on('error', quiet);
    worker.on('error', quiet);
    worker.on('failed', (entry, error) =>
      logger.error({ job: entry?.data.jobId, err: error }, 'a control task failed'),
    );
    return new BullControlQueue(addressOf(url), producer, consumer, queue, worker);
  }

  async add(entry: QueueEntry): Promise<void> {
    try {
      await this.queue.add(entry.kind, entry, {
        jobId: idOf(entry),
        attempts: ATTEMPTS,
        backoff: { type: 'exponential', delay: 200 },
        removeOnComplete: true,
        removeOnFail: true,
      });
    } catch (error) {
      throw new RedisUnavailableError(this.address, error, 'submit again when it is back');
    }
  }

  async waiting(): Promise<number> {
    try {
      return await this.queue.count();
    } catch (error) {
      throw new RedisUnavailableError(this.address, error, 'ask again when it is back');
    }
  }

  async close(): Promise<void> {
    const force = this.consumer.status !== 'ready';
    const closing = Promise.all([this.worker.close(force), this.queue.close()]);
    await withDeadline(closing, CLOSE_SECONDS, 'the control queue').catch(() => undefined); // Redis may be silent
    hangUp(this.producer);
    this.consumer.disconnectAll();
  }
}

/** BullMQ blocks on a copy of its worker's connection, which would try for ever to reach a Redis that is gone. */
class ConsumerRedis extends Redis {
  private readonly copies: Redis[] = [];

  override duplicate(override?: Parameters<Redis['duplicate']>[0]): Redis {
    const copy = super.duplicate(override);
    this.copies.push(copy);
    return copy;
  }

  disconnectAll(): void {
    for (const connection of [this, ...this.copies]) hangUp(connection);
  }
}

/** A letter, then a hash: BullMQ takes bare numbers for its own ids, and colons for its keys. */
function idOf(entry: QueueEntry): string {
  return `q${sha256(`${entry.kind} ${entry.jobId}`)}`;
}

function untilReady(redis: Redis): Promise<void> {
  return redis.status === 'ready'
    ? Promise.resolve()
    : new Promise((resolve) => redis.once('ready', () => resolve()));
}
