import type { Seconds } from '../../base/index.js';
import { makeSchedule, rankOf, simulate, type PipelineCosts, type TransferCost } from '../pipeline/index.js';
import type { Plan, Stage, StageSeconds } from '../plan.js';
import { TraceError } from './errors.js';
import { eventsOfSimulation, spanOf, type TraceEvent } from './event.js';
import type { TraceNames } from './names.js';

/** Events and what their ranks are called. */
export interface Timeline {
  readonly events: readonly TraceEvent[];
  readonly names: TraceNames;
}

type TimedStage = Stage & { readonly seconds: StageSeconds };

/**
 * The step that a plan predicts, played by the simulator: ranks are the job's, by pipeline rank, then by replica; of a
 * stage's replicas each computes for its share of what the busiest takes. `update` stands for all that follows the
 * last backward pass. O(devices x stages x micro-batches).
 * @throws TraceError where the plan does not say what its stages take
 */
export function timelineOf(plan: Plan, title = titleOf(plan)): Timeline {
  const stages = plan.stages.map((stage): TimedStage => {
    const { seconds, index } = stage;
    if (!seconds) throw new TraceError(`stage ${index} of the plan: found no "seconds"; plan again`);
    return { ...stage, seconds };
  });
  const pipelineRanks = stages.length / (plan.schedule.stagesPerRank ?? 1);
  const perRank = plan.schedule.kind === 'data-parallel' ? fused(plan, stages[0]!) : played(plan, stages);
  const byRank = Array.from({ length: pipelineRanks }, (_, rank) => perRank.filter((e) => e.rank === rank));
  const holders = byRank.flatMap((events, rank) =>
    stages[rank]!.replicas.map(({ device }, replica) => ({ device, replica, events })),
  );
  return {
    names: { title, ranks: holders.map(({ device }) => ({ device })) },
    events: holders.flatMap(({ events, replica }, rank) =>
      events.map((event) => {
        const { start, end } = event;
        const share = event.kind === 'update' ? 1 : shareOf(stages[event.stage]!, replica);
        return { ...event, rank, end: start + share * (end - start) };
      }),
    ),
  };
}

/** `1f1b, 8 micro-batches`. */
function titleOf({ schedule: { kind, microBatches } }: Plan): string {
  return `${kind}, ${microBatches} micro-batch${microBatches === 1 ? '' : 'es'}`;
}

/** What a replica takes of its stage's seconds. */
function shareOf({ replicas }: Stage, replica: number): number {
  const most = replicas.reduce((max, { predictedBusySeconds }) => Math.max(max, predictedBusySeconds), 0);
  return most > 0 ? (replicas[replica]?.predictedBusySeconds ?? 0) / most : 1;
}

/** One stage: micro-batch after micro-batch, forward and backward in one program. */
function fused({ schedule: { microBatches } }: Plan, { seconds }: TimedStage): TraceEvent[] {
  const each = seconds.forward + seconds.backwardInput + seconds.backwardWeight;
  const common = { rank: 0, stage: 0, step: 0 };
  const steps = Array.from({ length: microBatches }, (_, microBatch): TraceEvent => {
    return { ...common, kind: 'step', microBatch, start: microBatch * each, end: (microBatch + 1) * each };
  });
  const start = microBatches * each;
  return [...steps, { ...common, kind: 'update', microBatch: 0, start, end: start + seconds.after }];
}

function played({ schedule }: Plan, stages: readonly TimedStage[]): TraceEvent[] {
  const { kind, microBatches, stagesPerRank = 1 } = schedule;
  if (kind === 'data-parallel') return [];
  const ranks = stages.length / stagesPerRank;
  const costs: PipelineCosts = {
    stages: stages.map(({ seconds }) => seconds),
    transfer: (_from, _to, what, stage) => costOf(stages[stage]!, what),
  };
  const order = makeSchedule(kind, { ranks, microBatches, stagesPerRank });
  const computed = eventsOfSimulation(simulate(order, costs));
  const updates = Array.from({ length: ranks }, (_, rank): TraceEvent => {
    const [, start] = spanOf(computed.filter((event) => event.rank === rank));
    const end = start + stages[rank]!.seconds.after;
    return { rank, kind: 'update', stage: rank, microBatch: 0, step: 0, start, end };
  });
  return [...computed, ...sends(computed, stages, ranks), ...updates];
}

function costOf({ seconds }: TimedStage, what: 'activation' | 'gradient'): TransferCost {
  return (what === 'activation' ? seconds.activation : seconds.gradient) ?? { latency: 0, wire: 0 };
}

/** Messages as the simulator has them leave: after what they carry, one at a time from one rank to another. */
function sends(
  computed: readonly TraceEvent[],
  stages: readonly TimedStage[],
  ranks: number,
): readonly TraceEvent[] {
  const free = new Map<string, Seconds>();
  return computed.flatMap((event): TraceEvent[] => {
    const { kind, stage, rank } = event;
    if (kind === 'backward-weight') return [];
    const what = kind === 'forward' ? 'activation' : 'gradient';
    const neighbour = what === 'activation' ? stage + 1 : stage - 1;
    const to = rankOf(neighbour, ranks);
    if (neighbour < 0 || neighbour >= stages.length || to === rank) return [];
    const { latency, wire } = costOf(stages[stage]!, what);
    const start = Math.max(event.end, free.get(`${rank}>${to}`) ?? 0);
    free.set(`${rank}>${to}`, start + wire);
    return [{ ...event, kind: `send-${what}`, start, end: start + wire + latency }];
  });
}
