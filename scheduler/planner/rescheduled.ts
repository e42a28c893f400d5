import type { ScheduleKind } from '../pipeline/index.js';
import type { Candidate } from './candidate.js';
import type { HeldStage } from './memory.js';
import { play, timetable } from './played.js';
import type { StageModel, StageOptions } from './stage.js';

/**
 * A pipeline with its groups of devices, under a schedule, as the simulator plays it: each group decides anew whether
 * to keep or to compute again, and shares by what memory is left with as many micro-batches in flight. With several stages
 * a rank the model is cut into as many parts of equal work, and each of them as the pipeline was.
 * O(stages x (units + micro-batches)).
 * @returns undefined where the numbers do not fit the schedule, or the stages do not fit the devices
 */
export function rescheduled(
  pipeline: Candidate,
  kind: ScheduleKind,
  stagesPerRank: number,
  options: StageOptions,
): Candidate | undefined {
  const { model, slicing, choices } = pipeline;
  const ranks = choices.length;
  const table = timetable(kind, ranks, stagesPerRank, slicing.microBatches);
  const cuts = table && cutsOf(pipeline, stagesPerRank);
  if (!cuts) return undefined;
  const held = cuts.slice(1).map((to, stage): HeldStage => {
    const inFlight = table.inFlight[stage]!;
    const joined = table.joined && stage + 1 === table.schedule.stages;
    return { from: cuts[stage]!, to, inFlight, split: kind === 'zero-bubble', joined };
  });
  const again = choices.flatMap(({ group }, rank) => {
    const stages = held.filter((_, stage) => stage % ranks === rank);
    return model.choose(group, stages, slicing, false, options) ?? [];
  });
  if (again.length < ranks) return undefined;
  const { seconds } = play(model, { schedule: table.schedule, slicing, choices: again });
  return { ...pipeline, kind, stagesPerRank, choices: again, seconds };
}

/** First units of the stages, and the number of units at the end; undefined where a stage would be empty. */
function cutsOf({ model, choices }: Candidate, stagesPerRank: number): readonly number[] | undefined {
  const units = model.layers.units.length;
  const ranks = choices.length;
  const starts = choices.map(({ stages }) => stages[0]!.from);
  if (stagesPerRank === 1) return [...starts, units];
  if (ranks * stagesPerRank > units) return undefined;
  const all = workBefore(model, units);
  const cuts = [0];
  for (let stage = 1; stage < ranks * stagesPerRank; stage++) {
    const part = Math.floor(stage / ranks);
    const wanted = (part * all + workBefore(model, starts[stage % ranks]!)) / stagesPerRank;
    const last = units - (ranks * stagesPerRank - stage);
    let at = cuts.at(-1)! + 1;
    while (at < last && workBefore(model, at) + workBefore(model, at + 1) <= 2 * wanted) at++;
    cuts.push(Math.min(at, last));
  }
  return [...cuts, units];
}

/** Of the units before one, in what a device of speed 1 takes. */
function workBefore(model: StageModel, unit: number): number {
  return model.groups.leastSeconds(0, unit, 1, 1);
}
