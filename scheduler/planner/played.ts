import type { Seconds } from '../../base/index.js';
import {
  isCompute,
  makeSchedule,
  mostInFlight,
  simulate,
  type PipelineCosts,
  type PipelineSchedule,
  type ScheduleKind,
  type Simulation,
} from '../pipeline/index.js';
import { latencyOf, wireSeconds } from './cost.js';
import type { Choice, Slicing, StageModel } from './stage.js';

/** Who would compute what of a pipeline. */
interface Shape {
  readonly ranks: number;
  readonly stages: number;
  readonly slicing: Slicing;
  /** Of each rank. */
  readonly choices: readonly Choice[];
}

/** What a pipeline is made of, before anybody says how long it takes. */
export interface Pipeline {
  readonly schedule: PipelineSchedule;
  readonly slicing: Slicing;
  /** Of each rank. */
  readonly choices: readonly Choice[];
}

export interface Played {
  readonly simulation: Simulation;
  /** Until the last rank has exchanged gradients and updated its parameters. */
  readonly seconds: Seconds;
}

/**
 * Plays a pipeline on the simulator: stages take what was chosen for them, messages go over the worst link
 * between their groups, and each rank exchanges its gradients when its own last backward pass is done.
 * O(stages x micro-batches).
 */
export function play(model: StageModel, { schedule, slicing, choices }: Pipeline): Played {
  const { ranks, stages } = schedule;
  const simulation = simulate(schedule, pipelineCosts(model, { ranks, stages, slicing, choices }));
  const ends = new Array<number>(schedule.ranks).fill(0);
  for (const { rank, end } of simulation.events) ends[rank] = Math.max(ends[rank]!, end);
  const seconds = ends.reduce((most, end, rank) => Math.max(most, end + choices[rank]!.after), 0);
  return { simulation, seconds };
}

/** What the simulator plays a pipeline with. */
export function pipelineCosts(model: StageModel, { ranks, stages, slicing, choices }: Shape): PipelineCosts {
  const costs = choices.map((choice) => model.costs(choice));
  return {
    stages: Array.from({ length: stages }, (_, stage) => costs[stage % ranks]![Math.floor(stage / ranks)]!),
    transfer: (from, to, kind, stage) => {
      const [a, b] = [choices[from]!.group, choices[to]!.group];
      const cut = model.layers.cuts[boundary(choices, ranks, kind === 'activation' ? stage : stage - 1) - 1]!;
      const bytes = kind === 'activation' ? cut.activationBytesPerSample : cut.gradientBytesPerSample;
      const link = model.groups.linkAcross(a, b);
      const each = Math.ceil(slicing.samples / Math.min(a.size, b.size));
      return { latency: latencyOf(link), wire: wireSeconds(link, each * bytes) };
    },
  };
}

/** The first unit after a stage. */
function boundary(choices: readonly Choice[], ranks: number, stage: number): number {
  return choices[stage % ranks]!.stages[Math.floor(stage / ranks)]!.to;
}

/** A schedule, and how many micro-batches each of its stages has in flight at most. */
export interface Timetable {
  readonly schedule: PipelineSchedule;
  readonly inFlight: readonly number[];
  /** Whether the last stage does nothing between the forward pass of a micro-batch and its backward pass. */
  readonly joined: boolean;
}

/** undefined where the numbers do not fit the kind. */
export function timetable(
  kind: ScheduleKind,
  ranks: number,
  stagesPerRank: number,
  microBatches: number,
): Timetable | undefined {
  if (kind === 'interleaved' && (microBatches % ranks !== 0 || stagesPerRank < 2)) return undefined;
  const schedule = makeSchedule(kind, { ranks, microBatches, stagesPerRank });
  return {
    schedule,
    inFlight: Array.from({ length: schedule.stages }, (_, stage) => mostInFlight(schedule, stage)),
    joined: backwardFollows(schedule, schedule.stages - 1),
  };
}

function backwardFollows({ programs, ranks }: PipelineSchedule, stage: number): boolean {
  const steps = programs[stage % ranks]!.filter(({ kind }) => isCompute(kind));
  return steps.every((step, i) => {
    if (step.stage !== stage || step.kind !== 'forward') return true;
    const next = steps[i + 1];
    return next?.kind === 'backward' && next.stage === stage && next.microBatch === step.microBatch;
  });
}
