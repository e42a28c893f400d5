import { InvariantError } from '../../base/index.js';
import type { RunPlan } from '../../protocol/index.js';
import { computationsOf, makeSchedule, type Action } from '../../scheduler/index.js';
import { pipelineRanksOf } from '../run/parts.js';

type Plan = Pick<RunPlan, 'pipeline' | 'ranks'>;

/** What a pipeline rank does in a step. @throws ScheduleError for a schedule that cannot be */
export function programOf(plan: Plan, pipelineRank: number): readonly Action[] {
  const { kind, microBatches, stagesPerRank } = plan.pipeline;
  if (kind === 'data-parallel') throw new InvariantError('a plan of several stages has a schedule');
  const schedule = makeSchedule(kind, { ranks: pipelineRanksOf(plan), microBatches, stagesPerRank });
  return schedule.programs[pipelineRank]!;
}

/** Whether every forward pass of a stage is followed at once by its backward pass, all of it. */
export function backwardFollows(plan: Plan, stage: number): boolean {
  const steps = computationsOf(programOf(plan, stage % pipelineRanksOf(plan)));
  return steps.every((step, i) => {
    if (step.stage !== stage || step.kind !== 'forward') return true;
    const next = steps[i + 1];
    return next?.kind === 'backward' && next.stage === stage && next.microBatch === step.microBatch;
  });
}
