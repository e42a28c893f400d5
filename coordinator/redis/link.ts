import { Redis, type RedisOptions } from 'ioredis';
import { DtrainError, type Clock, type Logger, type Seconds } from '../../base/index.js';
import { RedisUnavailableError } from '../errors.js';

const CONNECT_MS = 3000;
const ANSWER_MS = 2000;
const PING_SECONDS = 1;
/** How long a connection that we end may take to end in order. */
const HANG_UP_MS = 200;

/**
 * The coordinator's connection to Redis for commands, and what is known of Redis being there.
 *
 * A command during an outage fails at once (no offline queue), and one that gets no answer within two seconds fails
 * then; the connection is made again in the background. A ping each second finds a Redis that is silent, not gone.
 */
export class RedisLink {
  private readonly listeners = new Set<(up: boolean) => void>();
  private up = true;
  private downSince: Seconds | undefined;
  private cancelPing: () => void = () => undefined;
  private closed = false;

  private constructor(
    readonly address: string,
    private readonly redis: Redis,
    private readonly clock: Clock,
    private readonly logger: Logger,
  ) {
    redis.on('close', () => this.note(false));
    redis.on('error', (error) => this.logger.debug({ err: error.message }, 'redis connection'));
    this.schedulePing();
  }

  /**
   * @param url `redis://[:PASSWORD@]HOST:PORT[/DB]`
   * @throws RedisUnavailableError naming the address, without its password
   */
  static async open(url: string, clock: Clock, logger: Logger): Promise<RedisLink> {
    const address = addressOf(url);
    const redis = new Redis(url, commandOptions);
    let reason: unknown;
    redis.on('error', (error) => (reason = error)); // the awaited promise only says that the connection is closed
    try {
      await redis.connect();
      await redis.ping();
    } catch (error) {
      redis.disconnect();
      throw new RedisUnavailableError(
        address,
        reason ?? error,
        'start one (redis-server), or give its address with --redis URL',
      );
    }
    redis.removeAllListeners('error');
    return new RedisLink(address, redis, clock, logger);
  }

  get isUp(): boolean {
    return this.up;
  }

  /** How long Redis has been away; 0 while it is there. */
  get downSeconds(): Seconds {
    return this.downSince === undefined ? 0 : this.clock.monotonic() - this.downSince;
  }

  /** Calls back with each change; the returned function ends that. */
  onChange(listener: (up: boolean) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** @throws RedisUnavailableError while Redis is known to be away */
  requireUp(): void {
    if (!this.up)
      throw new RedisUnavailableError(
        this.address,
        undefined,
        'jobs cannot be read or changed until it is back',
      );
  }

  /** @throws RedisUnavailableError when Redis is away or refuses */
  async ask<T>(question: (redis: Redis) => Promise<T>): Promise<T> {
    try {
      return await question(this.redis);
    } catch (error) {
      if (error instanceof DtrainError) throw error;
      throw new RedisUnavailableError(this.address, error, 'jobs cannot be read or changed until it is back');
    }
  }

  close(): void {
    this.closed = true;
    this.cancelPing();
    this.listeners.clear();
    this.redis.removeAllListeners();
    this.redis.on('error', () => undefined);
    hangUp(this.redis);
  }

  private schedulePing(): void {
    this.cancelPing = this.clock.after(PING_SECONDS, () => {
      this.redis.ping().then(
        () => this.pinged(true),
        () => this.pinged(false),
      );
    });
  }

  private pinged(answered: boolean): void {
    if (this.closed) return;
    this.note(answered);
    this.schedulePing();
  }

  private note(up: boolean): void {
    if (this.closed || up === this.up) return;
    this.up = up;
    this.downSince = up ? undefined : this.clock.monotonic();
    if (up) this.logger.info({ address: this.address }, 'Redis is back');
    else this.logger.error({ address: this.address }, 'Redis is away');
    for (const listener of this.listeners) listener(up);
  }
}

const reconnect = (attempt: number) => Math.min(50 * 2 ** attempt, 1000);

const commandOptions: RedisOptions = {
  lazyConnect: true,
  connectTimeout: CONNECT_MS,
  commandTimeout: ANSWER_MS,
  enableOfflineQueue: false,
  // a command whose answer was lost is the caller's to repeat: it knows whether that is safe
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  disconnectTimeout: HANG_UP_MS,
  retryStrategy: reconnect,
};

/** For a queue's producer: like commands. */
export const producerOptions: RedisOptions = { ...commandOptions, lazyConnect: false };

/** For a queue's worker, which blocks in Redis: it waits for as long as an outage lasts. */
export const workerOptions: RedisOptions = {
  maxRetriesPerRequest: null,
  connectTimeout: CONNECT_MS,
  disconnectTimeout: HANG_UP_MS,
  retryStrategy: reconnect,
};

/** Ends a connection. One that has ended already is left alone: ioredis would hold the process for a while. */
export function hangUp(redis: Redis): void {
  if (redis.status !== 'end') redis.disconnect();
}

/** The URL for messages: without user name and password. */
export function addressOf(url: string): string {
  try {
    const { host } = new URL(url);
    return host === '' ? url : host;
  } catch {
    return url;
  }
}
