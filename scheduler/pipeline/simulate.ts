import type { Seconds } from '../../base/index.js';
import { formatAction, isCompute, isReceive, type Action, type Compute } from './action.js';
import { ScheduleError } from './errors.js';
import { channelOf, follow, peerOf } from './follow.js';
import type { PipelineSchedule } from './schedule.js';

/** What computing and moving take. Whole backward passes take the sum of their halves. */
export interface PipelineCosts {
  readonly stages: readonly StageCosts[];
  /** Of a message between two ranks: latency and time on the wire; 0 where a rank sends to itself. */
  readonly transfer: (
    from: number,
    to: number,
    kind: 'activation' | 'gradient',
    stage: number,
  ) => TransferCost;
}

export interface StageCosts {
  readonly forward: Seconds;
  readonly backwardInput: Seconds;
  readonly backwardWeight: Seconds;
}

export interface TransferCost {
  readonly latency: Seconds;
  /** How long the message keeps the link busy. */
  readonly wire: Seconds;
}

/** One computation on the time line. */
export interface TimelineEvent extends Action {
  readonly kind: Compute;
  readonly rank: number;
  readonly start: Seconds;
  readonly end: Seconds;
}

export interface Simulation {
  /** In the order of each rank's program, rank after rank. */
  readonly events: readonly TimelineEvent[];
  /** From the first computation to the end of the last. */
  readonly seconds: Seconds;
  /** Time that each rank computes. */
  readonly busy: readonly Seconds[];
  /** Share of ranks x seconds in which nobody computes. */
  readonly bubble: number;
}

/**
 * Plays a schedule: ranks follow their programs, sends leave as soon as their computation ends and each directed
 * pair of ranks carries one message at a time. O(actions).
 * @throws ScheduleError where ranks wait for each other for ever
 */
export function simulate(schedule: PipelineSchedule, costs: PipelineCosts): Simulation {
  const { ranks } = schedule;
  const clock = new Array<number>(ranks).fill(0);
  const busy = new Array<number>(ranks).fill(0);
  const linkFree = new Map<string, Seconds>();
  const arrival = new Map<string, Seconds>();
  const events: TimelineEvent[][] = Array.from({ length: ranks }, () => []);
  const stuck = follow(schedule, (action, rank) => {
    const { kind, stage, microBatch } = action;
    const message = `${channelOf(action)}#${microBatch}`;
    if (isCompute(kind)) {
      const start = clock[rank]!;
      const end = start + secondsOf(costs.stages[stage]!, kind);
      clock[rank] = end;
      busy[rank]! += end - start;
      events[rank]!.push({ kind, stage, microBatch, rank, start, end });
    } else if (isReceive(kind)) {
      clock[rank] = Math.max(clock[rank]!, arrival.get(message)!);
    } else {
      const to = peerOf(action, ranks);
      const link = `${rank}>${to}`;
      const what = kind === 'send-activation' ? 'activation' : 'gradient';
      const { latency, wire } = costs.transfer(rank, to, what, stage);
      const sent = Math.max(clock[rank]!, linkFree.get(link) ?? 0) + wire;
      linkFree.set(link, sent);
      arrival.set(message, sent + latency);
    }
  });
  const waits = stuck.flatMap((action, rank) =>
    action ? [`rank ${rank} with the ${formatAction(action)}`] : [],
  );
  if (waits.length > 0) throw new ScheduleError(`ranks wait for ever: ${waits.join('; ')}`);
  const seconds = Math.max(0, ...clock);
  const computing = busy.reduce((sum, each) => sum + each, 0);
  return {
    events: events.flat(),
    seconds,
    busy,
    bubble: seconds === 0 ? 0 : 1 - computing / (ranks * seconds),
  };
}

function secondsOf(stage: StageCosts, kind: Compute): Seconds {
  switch (kind) {
    case 'forward':
      return stage.forward;
    case 'backward':
      return stage.backwardInput + stage.backwardWeight;
    case 'backward-input':
      return stage.backwardInput;
    case 'backward-weight':
      return stage.backwardWeight;
  }
}

/** Equal stages and free transfers: what the published bubble formulas assume. */
export function uniformCosts(stages: number, each: StageCosts): PipelineCosts {
  return {
    stages: new Array<StageCosts>(stages).fill(each),
    transfer: () => ({ latency: 0, wire: 0 }),
  };
}
