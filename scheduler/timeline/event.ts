import type { Seconds } from '../../base/index.js';
import type { Compute, Simulation, Transfer } from '../pipeline/index.js';

/** What a rank does for a while. */
export type EventKind =
  | Compute
  /** Forward and backward in one program: a plan of one stage. */
  | 'step'
  | Transfer
  /** Gradients of a stage meet those of its replicas. */
  | 'reduce'
  /** The optimizer's update, until the new parameters are everywhere. */
  | 'update';

/** All kinds; files and recorders name one by its place here. */
export const EVENT_KINDS = [
  'forward',
  'backward',
  'backward-input',
  'backward-weight',
  'step',
  'update',
  'reduce',
  'send-activation',
  'receive-activation',
  'send-gradient',
  'receive-gradient',
] as const satisfies readonly EventKind[];

/**
 * Something that a rank did, or would do, from `start` to `end`: of a simulation in seconds since its beginning, of a run
 * in seconds since 1970. What one rank computes does not overlap; waits and transfers may overlap anything.
 */
export interface TraceEvent {
  /** Of the job: by pipeline rank, then by replica. */
  readonly rank: number;
  readonly kind: EventKind;
  readonly stage: number;
  /** 0 for what is done once a step. */
  readonly microBatch: number;
  readonly step: number;
  readonly start: Seconds;
  readonly end: Seconds;
}

/** Whether the rank computes a part of the pipeline meanwhile: what is not a bubble. */
export function isWork(kind: EventKind): boolean {
  return kind === 'forward' || kind === 'step' || kind.startsWith('backward');
}

/** Whether it moves or waits for messages, beside what is computed. */
export function isMessage(kind: EventKind): boolean {
  return kind === 'reduce' || kind.startsWith('send') || kind.startsWith('receive');
}

/** A simulated step as events; ranks are those of the pipeline. */
export function eventsOfSimulation({ events }: Pick<Simulation, 'events'>, step = 0): TraceEvent[] {
  return events.map(({ rank, kind, stage, microBatch, start, end }) => {
    return { rank, kind, stage, microBatch, step, start, end };
  });
}

/** From the first start to the last end; [0, 0] of nothing. */
export function spanOf(events: readonly Pick<TraceEvent, 'start' | 'end'>[]): readonly [Seconds, Seconds] {
  if (events.length === 0) return [0, 0];
  let [first, last] = [Infinity, -Infinity];
  for (const { start, end } of events) {
    first = Math.min(first, start);
    last = Math.max(last, end);
  }
  return [first, last];
}

/** For people: `forward of micro-batch 3 on stage 1, step 12`. */
export function formatEvent({ kind, stage, microBatch, step }: TraceEvent): string {
  if (kind === 'update') return `update, step ${step}`;
  if (kind === 'reduce') return `reduce of stage ${stage}, step ${step}`;
  return `${kind} of micro-batch ${microBatch} on stage ${stage}, step ${step}`;
}
