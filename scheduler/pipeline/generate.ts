import { ScheduleError } from './errors.js';
import { withTransfers, type PipelineSchedule, type ScheduleKind, type Step } from './schedule.js';

/** What a schedule is made for. */
export interface ScheduleShape {
  readonly ranks: number;
  readonly microBatches: number;
  /** Stages on each rank; only `interleaved` takes more than 1. */
  readonly stagesPerRank?: number;
}

/**
 * A schedule of one of the published kinds. O(stages x micro-batches) actions.
 * @throws ScheduleError where the shape does not fit the kind
 */
export function makeSchedule(
  kind: ScheduleKind,
  { ranks, microBatches, stagesPerRank = 1 }: ScheduleShape,
): PipelineSchedule {
  const counts = { ranks, microBatches, stagesPerRank };
  for (const [what, count] of Object.entries(counts)) {
    if (!Number.isSafeInteger(count) || count < 1) {
      throw new ScheduleError(
        `a ${kind} schedule with ${what} ${count}; a whole number from 1 would be accepted`,
      );
    }
  }
  if (stagesPerRank > 1 && kind !== 'interleaved') {
    throw new ScheduleError(`a ${kind} schedule has one stage a rank; "interleaved" takes ${stagesPerRank}`);
  }
  const stages = ranks * stagesPerRank;
  const shape = { kind, ranks, stages, microBatches };
  return withTransfers(shape, computations(kind, ranks, microBatches, stagesPerRank));
}

function computations(kind: ScheduleKind, ranks: number, microBatches: number, chunks: number): Step[][] {
  const each = <T>(of: (rank: number) => T) => Array.from({ length: ranks }, (_, rank) => of(rank));
  switch (kind) {
    case 'gpipe':
      return each((rank) => gpipe(rank, microBatches));
    case '1f1b':
      return each((rank) => oneForwardOneBackward(rank, ranks, microBatches));
    case 'interleaved':
      return each((rank) => interleaved(rank, ranks, microBatches, chunks));
    case 'zero-bubble':
      return each((rank) => zeroBubble(rank, ranks, microBatches));
  }
}

/** All forward passes, then all backward passes (Huang et al., GPipe, 2019). */
function gpipe(stage: number, microBatches: number): Step[] {
  return [...range(microBatches, 'forward', stage), ...range(microBatches, 'backward', stage)];
}

/**
 * Stage s of S runs S - s - 1 forward passes ahead, then forward and backward in turn, so that at most S - s
 * micro-batches are in flight (Narayanan et al., PipeDream-Flush, 2021).
 */
function oneForwardOneBackward(stage: number, stages: number, microBatches: number): Step[] {
  const ahead = Math.min(microBatches, stages - stage - 1);
  return inTurn(range(microBatches, 'forward', stage), range(microBatches, 'backward', stage), ahead);
}

/**
 * Each rank holds several stages, the model's in turn; micro-batches pass in groups of as many as there are ranks
 * (Narayanan et al., Megatron-LM, 2021). The bubble shrinks by the number of stages a rank.
 */
function interleaved(rank: number, ranks: number, microBatches: number, chunks: number): Step[] {
  if (microBatches % ranks !== 0) {
    throw new ScheduleError(
      `an interleaved schedule passes micro-batches in groups of ${ranks}; ${microBatches} do not divide: use ${Math.ceil(microBatches / ranks) * ranks}`,
    );
  }
  const total = microBatches * chunks;
  const step = (i: number, kind: 'forward' | 'backward'): Step => {
    const chunk = Math.floor(i / ranks) % chunks;
    const group = Math.floor(i / (ranks * chunks));
    const stage = (kind === 'forward' ? chunk : chunks - 1 - chunk) * ranks + rank;
    return { kind, stage, microBatch: group * ranks + (i % ranks) };
  };
  const all = (kind: 'forward' | 'backward') => Array.from({ length: total }, (_, i) => step(i, kind));
  const ahead = microBatches === ranks ? total : (ranks - rank - 1) * 2 + (chunks - 1) * ranks;
  return inTurn(all('forward'), all('backward'), Math.min(total, ahead));
}

/**
 * The backward pass in two halves (Qi et al., Zero Bubble Pipeline Parallelism, ZB-H1, 2023): stage s of S runs
 * S - s forward passes ahead and puts the half that nobody waits for off by s micro-batches, so that it fills what
 * would be idle at the end. No rank has more micro-batches in flight than 1F1B has on the first.
 */
function zeroBubble(stage: number, stages: number, microBatches: number): Step[] {
  const ahead = Math.min(microBatches, stages - stage);
  const steps = range(ahead, 'forward', stage);
  for (let i = 0; i < microBatches; i++) {
    steps.push({ kind: 'backward-input', stage, microBatch: i });
    if (i >= stage) steps.push({ kind: 'backward-weight', stage, microBatch: i - stage });
    if (ahead + i < microBatches) steps.push({ kind: 'forward', stage, microBatch: ahead + i });
  }
  for (let i = Math.max(0, microBatches - stage); i < microBatches; i++) {
    steps.push({ kind: 'backward-weight', stage, microBatch: i });
  }
  return steps;
}

function range(count: number, kind: Step['kind'], stage: number): Step[] {
  return Array.from({ length: count }, (_, microBatch) => ({ kind, stage, microBatch }));
}

/** `ahead` forward passes, then one of each in turn, then the backward passes that are left. */
function inTurn(forward: readonly Step[], backward: readonly Step[], ahead: number): Step[] {
  const steps = forward.slice(0, ahead);
  const rest = forward.slice(ahead);
  rest.forEach((step, i) => steps.push(step, backward[i]!));
  return [...steps, ...backward.slice(rest.length)];
}
