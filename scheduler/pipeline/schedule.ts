import { isCompute, type Action, type Compute } from './action.js';

export const SCHEDULE_KINDS = ['gpipe', '1f1b', 'interleaved', 'zero-bubble'] as const;
export type ScheduleKind = (typeof SCHEDULE_KINDS)[number];

/** Who computes what, in which order: data that is printed, validated, simulated and then followed. */
export interface PipelineSchedule {
  readonly kind: ScheduleKind | 'custom';
  /** Pipeline ranks; rank r holds the stages s with s mod ranks = r. */
  readonly ranks: number;
  readonly stages: number;
  readonly microBatches: number;
  /** One program a rank, transfers included. */
  readonly programs: readonly (readonly Action[])[];
}

/** The rank that holds a stage. */
export function rankOf(stage: number, ranks: number): number {
  return stage % ranks;
}

/** One computation, before transfers are written down around it. */
export interface Step {
  readonly kind: Compute;
  readonly stage: number;
  readonly microBatch: number;
}

/**
 * Completes a schedule from each rank's computations: every one is preceded by the receive of what it needs and
 * followed by the send of what it makes, where the neighbouring stage is on another rank.
 */
export function withTransfers(
  shape: Omit<PipelineSchedule, 'programs'>,
  computations: readonly (readonly Step[])[],
): PipelineSchedule {
  const { stages, ranks } = shape;
  const apart = (a: number, b: number) => rankOf(a, ranks) !== rankOf(b, ranks);
  const around = ({ kind, stage, microBatch }: Step): Action[] => {
    const transfer = (what: Action['kind']): Action => ({ kind: what, stage, microBatch });
    const own: Action = { kind, stage, microBatch };
    if (kind === 'backward-weight') return [own];
    const [from, to] = kind === 'forward' ? [stage - 1, stage + 1] : [stage + 1, stage - 1];
    const what = kind === 'forward' ? 'activation' : 'gradient';
    const exists = (neighbour: number) => neighbour >= 0 && neighbour < stages && apart(stage, neighbour);
    return [
      ...(exists(from) ? [transfer(`receive-${what}`)] : []),
      own,
      ...(exists(to) ? [transfer(`send-${what}`)] : []),
    ];
  };
  return { ...shape, programs: computations.map((steps) => steps.flatMap(around)) };
}

/** A rank's computations, in order. */
export function computationsOf(program: readonly Action[]): readonly Step[] {
  return program.filter((action): action is Action & { kind: Compute } => isCompute(action.kind));
}
