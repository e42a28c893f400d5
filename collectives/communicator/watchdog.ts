import type { Seconds } from '../../base/index.js';
import type { Member } from '../transport/transport.js';
import type { Channel } from './channel.js';
import type { Operation } from './operation.js';
import type { RingOptions } from './options.js';

/** What the watchdog may see and do. */
export interface Watched {
  oldest(): Operation | undefined;
  ask(channel: Channel): void;
  expire(operation: Operation, rank: number, what: string): void;
}

/** How often, within a deadline, a stalled collective's neighbours are asked whether they are there. */
const ASKS = 4;

/**
 * Ends a collective that makes no progress for `deadline` seconds. Only the oldest in flight is watched: the
 * others wait for it.
 *
 * In a ring one silent rank stalls all, and each would blame its left neighbour. So a rank that stalls asks
 * both neighbours; one that answers (its process lives, it waits itself or still computes) gets the same time
 * once more, and the rank next to the silent one, which gets no answer, is the first to give up and names it.
 */
export class Watchdog {
  private cancel: (() => void) | undefined;
  private lastProgress: Seconds = 0;
  private readonly heard = new Map<Channel, { at: Seconds; issued: number }>();

  constructor(
    private readonly options: RingOptions,
    private readonly member: Member,
    private readonly left: Channel,
    private readonly right: Channel,
    private readonly watched: Watched,
  ) {}

  /** Notes that `operation` went on. Progress of any but the oldest does not count. */
  progress(operation: Operation): void {
    if (this.watched.oldest() === operation) this.lastProgress = this.options.clock.monotonic();
  }

  /** Goes on watching while something is in flight. Called after each change; cheap. */
  watch(): void {
    if (this.cancel !== undefined || this.watched.oldest() === undefined) return;
    this.cancel = this.options.clock.after(this.options.deadline / ASKS, () => {
      this.cancel = undefined;
      this.look();
    });
  }

  /** A neighbour lives, and has issued so many collectives. */
  answered(channel: Channel, issued: number): void {
    this.heard.set(channel, { at: this.options.clock.monotonic(), issued });
  }

  stop(): void {
    this.cancel?.();
    this.cancel = undefined;
  }

  private look(): void {
    const operation = this.watched.oldest();
    if (operation === undefined) return;
    const { deadline, clock } = this.options;
    const stalled = clock.monotonic() - this.lastProgress;
    // Timers may fire a little early; half a tick of tolerance keeps the deadline from slipping by a whole one.
    const tolerance = deadline / ASKS / 2;
    if (stalled + tolerance >= deadline) {
      const channel = operation.receiving.done ? this.right : this.left;
      const answer = this.heard.get(channel);
      const alive =
        answer !== undefined && clock.monotonic() - answer.at <= (2 * deadline) / ASKS + tolerance;
      if (!alive || stalled + tolerance >= 2 * deadline) {
        this.watched.expire(
          operation,
          channel.peer,
          this.describe(operation, channel, stalled, alive ? answer : undefined),
        );
        return;
      }
    }
    if (stalled + tolerance >= deadline / ASKS) {
      for (const channel of [this.left, this.right]) this.watched.ask(channel);
    }
    this.watch();
  }

  private describe(
    operation: Operation,
    channel: Channel,
    stalled: Seconds,
    answer: { issued: number } | undefined,
  ): string {
    const waits = operation.receiving.done
      ? `its acknowledgement (${operation.acknowledged} of ${operation.sent} pieces)`
      : `its piece ${operation.receiving.piece} of step ${operation.receiving.step}`;
    const state =
      answer === undefined
        ? 'it does not answer'
        : answer.issued <= operation.id
          ? `it answers, but has not started this collective (it has started ${answer.issued})`
          : 'it answers, but does not go on either';
    return `rank ${this.member.rank} waited ${stalled.toFixed(1)} s for rank ${channel.peer}, for ${waits}; ${state}`;
  }
}
