import { hostname } from 'node:os';
import { randomId, type Clock, type Logger, type Seconds } from '../../base/index.js';
import { RedisInUseError } from '../errors.js';
import type { RedisLink } from './link.js';

const KEY = '{dtrain}:owner';
const TERM_SECONDS: Seconds = 6;
const RENEW_SECONDS: Seconds = 2;
const POLL_SECONDS: Seconds = 0.2;

interface Owner {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
}

/** Sets the key if it is free, ours, or of the owner that is known to be dead. */
const TAKE = `
local found = redis.call('GET', KEYS[1])
if found and found ~= ARGV[1] and found ~= ARGV[2] then return found end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return ''
`;
const LEAVE = `if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end`;

/**
 * One coordinator owns the jobs of a Redis at a time: a second would take the running jobs of the first for those of
 * one that died. The claim lasts for a few seconds and is renewed; a dead owner's is taken over, at once where its
 * process is known to be gone, else when it has run out.
 */
export class Ownership {
  private cancel: () => void = () => undefined;
  private closed = false;

  private constructor(
    private readonly link: RedisLink,
    private readonly self: string,
    private readonly clock: Clock,
    private readonly logger: Logger,
  ) {
    this.scheduleRenewal();
  }

  /** @throws RedisInUseError when another coordinator is alive, RedisUnavailableError */
  static async take(link: RedisLink, clock: Clock, logger: Logger): Promise<Ownership> {
    const owner: Owner = { id: randomId('owner'), host: hostname(), pid: process.pid };
    const self = JSON.stringify(owner);
    const deadline = clock.monotonic() + TERM_SECONDS + POLL_SECONDS;
    let dead = self;
    for (;;) {
      const found = await link.ask((redis) => redis.eval(TAKE, 1, KEY, self, dead, TERM_SECONDS * 1000));
      if (found === '') return new Ownership(link, self, clock, logger);
      const other = JSON.parse(String(found)) as Owner;
      if (other.host === owner.host && !isAlive(other.pid)) dead = String(found);
      else if (clock.monotonic() > deadline) throw new RedisInUseError(link.address, other.host, other.pid);
      else await new Promise<void>((resolve) => clock.after(POLL_SECONDS, resolve));
    }
  }

  async release(): Promise<void> {
    this.closed = true;
    this.cancel();
    // when Redis is away the claim runs out by itself
    await this.link.ask((redis) => redis.eval(LEAVE, 1, KEY, this.self)).catch(() => undefined);
  }

  private scheduleRenewal(): void {
    this.cancel = this.clock.after(RENEW_SECONDS, () => void this.renew());
  }

  private async renew(): Promise<void> {
    try {
      const found = await this.link.ask((redis) =>
        redis.eval(TAKE, 1, KEY, this.self, this.self, TERM_SECONDS * 1000),
      );
      if (found !== '') this.logger.error({ owner: found }, 'another coordinator has taken over this Redis');
    } catch {
      this.logger.debug('the claim on Redis was not renewed: it is away');
    }
    if (!this.closed) this.scheduleRenewal();
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
