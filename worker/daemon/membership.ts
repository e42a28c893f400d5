import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock, Logger, Seconds } from '../../base/index.js';
import type { FromWorker, Hello, ToWorker } from '../../protocol/index.js';
import { CoordinatorError, StoppedError } from '../errors.js';
import { Session } from './session.js';

/** Waits between attempts to join. */
const RETRY_SECONDS: readonly Seconds[] = [0.2, 0.5, 1, 2, 5];

export interface MembershipOptions {
  /** HOST:PORT of the coordinator's gRPC server. */
  readonly coordinator: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What this daemon says of itself, asked anew for each attempt. */
  hello(): Hello;
  /** The sign of life, asked for at every beat. */
  heartbeat(): NonNullable<FromWorker['message']>;
}

export interface MembershipEvents {
  message(message: ToWorker['message']): void;
  /** A session is open: the first, or another one after `lost`. */
  joined(): void;
  /** The session is over; joining again is under way. */
  lost(error: CoordinatorError): void;
  /** Joining again is of no use: the coordinator refuses this daemon. */
  refused(error: Error): void;
}

/**
 * A daemon's place in its coordinator's cluster: joins, sends heartbeats, and joins again whenever the session
 * is lost, for as long as it takes.
 */
export class Membership {
  private current: Session | undefined;
  private heartbeat: NodeJS.Timeout | undefined;
  private attempt: Promise<void> = Promise.resolve();
  private readonly closing = new AbortController();

  constructor(
    private readonly options: MembershipOptions,
    private readonly events: MembershipEvents,
  ) {}

  /** The session, while there is one. */
  get session(): Session | undefined {
    return this.current;
  }

  /**
   * Joins for the first time.
   * @throws CoordinatorError when the coordinator refuses, or nobody answers for `seconds`
   */
  join(seconds: Seconds): Promise<void> {
    return this.try(seconds);
  }

  /** Says something to the coordinator, if one is there. */
  send(message: NonNullable<FromWorker['message']>): void {
    this.current?.send(message);
  }

  /** Leaves. Nothing of it runs afterwards. */
  async close(): Promise<void> {
    this.closing.abort();
    await this.attempt;
    clearInterval(this.heartbeat);
    this.current?.close();
    this.current = undefined;
  }

  private try(giveUpAfter: Seconds): Promise<void> {
    const attempt = this.tryUntil(giveUpAfter);
    this.attempt = attempt.catch(() => undefined);
    return attempt;
  }

  private async tryUntil(giveUpAfter: Seconds): Promise<void> {
    const { coordinator, clock, logger } = this.options;
    const { signal } = this.closing;
    const started = clock.monotonic();
    let told = '';
    for (let attempt = 0; ; attempt++) {
      try {
        this.open(await Session.open(coordinator, this.options.hello(), signal, clock));
        return;
      } catch (error) {
        const again = giveUpAfter === Infinity;
        if (!mayPass(error, again) || clock.monotonic() - started > giveUpAfter) throw error;
        // what keeps it out is said once, not at every attempt
        const { message } = error as Error;
        if (message !== told) logger.warn({ coordinator }, `${message}; trying again`);
        told = message;
      }
      const seconds = RETRY_SECONDS[Math.min(attempt, RETRY_SECONDS.length - 1)]!;
      await sleep(seconds * 1000, undefined, { signal }).catch(() => undefined);
    }
  }

  private open(session: Session): void {
    this.current = session;
    this.heartbeat = setInterval(
      () => session.send(this.options.heartbeat()),
      session.welcome.heartbeatSeconds * 1000,
    );
    this.events.joined();
    session.listen({
      message: (message) => this.events.message(message),
      ended: (error) => this.ended(error),
    });
  }

  private ended(error: CoordinatorError): void {
    clearInterval(this.heartbeat);
    this.current = undefined;
    if (this.closing.signal.aborted) return;
    this.events.lost(error);
    this.try(Infinity).catch((failure: unknown) => {
      if (!(failure instanceof StoppedError)) this.events.refused(failure as Error);
    });
  }
}

/** Whether the same attempt may succeed later. */
function mayPass(error: unknown, again: boolean): boolean {
  if (!(error instanceof CoordinatorError)) return false;
  // a daemon that lost its session may be back before the coordinator has let go of its name
  return error.retryable || (again && error.code === 'name_taken');
}
