import type { Seconds } from '../../base/index.js';
import { footprintOf, totalOf } from '../account.js';
import type { Plan, Replica, Stage, StageSeconds } from '../plan.js';
import { splitShares } from '../shares.js';
import { Balancer } from './balance.js';
import type { Candidate } from './candidate.js';
import { bottleneckOf, explain } from './explain.js';
import { withDeviceUpdate } from './device-update.js';
import type { HeldStage, Holding } from './memory.js';
import { pipelineCosts } from './played.js';
import type { PlanRequest } from './request.js';
import { microBatchSizes } from './slicing.js';
import type { Choice } from './stage.js';

/** What a candidate is as a plan, apart from how it was found. O(devices x micro-batches + units). */
export type Described = Pick<
  Plan,
  'predictedStepSeconds' | 'bottleneck' | 'schedule' | 'stages' | 'explanation' | 'shardOptimizer'
>;

export function describe(request: PlanRequest, candidate: Candidate): Described {
  const { seconds, kind, stagesPerRank, slicing, choices } = candidate;
  const { microBatches, shardOptimizer } = slicing;
  const byRank = choices.map((choice) => replicasOf(request, candidate, choice));
  const played = stageSeconds(candidate);
  const stages = Array.from({ length: choices.length * stagesPerRank }, (_, index): Stage => {
    const choice = choices[index % choices.length]!;
    const held = choice.stages[Math.floor(index / choices.length)]!;
    const [from, to] = unitsOf(candidate, held);
    const units = request.layers.units.slice(from, to);
    return {
      index,
      units: [from, to],
      nodes: units.flatMap(({ nodes }) => nodes),
      parameters: [...new Set(units.flatMap(({ parameters }) => parameters.map(({ name }) => name)))],
      recompute: choice.keeping === 'recomputed',
      seconds: played[index]!,
      replicas: byRank[index % choices.length]!.map((replica) => replica.of(held)),
    };
  });
  return {
    predictedStepSeconds: seconds,
    bottleneck: bottleneckOf(candidate, stages),
    schedule: { kind, microBatches, stagesPerRank },
    shardOptimizer,
    stages,
    explanation: explain(request, candidate, stages),
  };
}

/** Of every stage, what the simulator plays it with. */
function stageSeconds({ model, slicing, choices, stagesPerRank }: Candidate): readonly StageSeconds[] {
  const ranks = choices.length;
  const stages = ranks * stagesPerRank;
  const costs = pipelineCosts(model, { ranks, stages, slicing, choices });
  return costs.stages.map((each, stage) => {
    const [rank, next, before] = [stage, stage + 1, stage - 1 + stages].map((held) => held % ranks);
    return {
      ...each,
      after: choices[rank!]!.after,
      ...(stage + 1 < stages ? { activation: costs.transfer(rank!, next!, 'activation', stage) } : {}),
      ...(stage > 0 ? { gradient: costs.transfer(rank!, before!, 'gradient', stage) } : {}),
    };
  });
}

function unitsOf({ ranges }: Candidate, { from, to }: HeldStage): readonly [number, number] {
  return [ranges[from]!.from, ranges[to - 1]!.to];
}

/** A replica's figures are those of its device; with several stages a rank its seconds are those of the stage. */
function replicasOf(
  { batch, parallelism }: PlanRequest,
  candidate: Candidate,
  choice: Choice,
): readonly { readonly of: (stage: HeldStage) => Replica }[] {
  const { slicing, model, choices } = candidate;
  const { group, keeping, stages } = choice;
  const sizes = microBatchSizes(batch, slicing.microBatches);
  const rank = choices.indexOf(choice);
  const beside = [rank - 1, rank + 1].map(
    (at) => choices[(at + choices.length) % choices.length]!.group.size,
  );
  const neighbours = choices.length === 1 ? 0 : Math.max(...beside);
  const shares = sharesOf(candidate, choice, sizes, parallelism?.shares);
  return group.lanes
    .flatMap((lane) => lane.devices.map((device) => ({ device, lane })))
    .flatMap(({ device, lane }, i) => {
      const mine = shares.map((share) => share[i]!);
      if (mine[0] === 0) return [];
      const { shardOptimizer } = slicing;
      const holding: Holding = { stages, keeping, replicas: group.size, shardOptimizer, neighbours };
      const alone = model.bytes.account(holding, mine[0]!, footprintOf(device));
      const updated = withDeviceUpdate(model.bytes, holding, device, mine.length, alone);
      const account = updated ?? alone;
      const busy = (stage: HeldStage): Seconds => {
        const { constant, perSample } = model.step([stage], keeping, lane);
        return mine.reduce((sum, samples) => sum + (samples > 0 ? constant + perSample * samples : 0), 0);
      };
      const of = (stage: HeldStage): Replica => ({
        device: device.id,
        samplesPerStep: mine.reduce((sum, samples) => sum + samples, 0),
        samplesPerMicroBatch: mine,
        predictedPeakBytes: totalOf(account),
        budgetBytes: device.memoryBytes,
        predictedBusySeconds: busy(stage),
        account,
        ...(updated ? { updateOnDevice: true } : {}),
      });
      return [{ of }];
    });
}

/** Of every micro-batch, the share of each device in the order of the group's lanes; no share exceeds the first's. */
function sharesOf(
  { model, slicing }: Candidate,
  choice: Choice,
  sizes: readonly number[],
  weights: readonly number[] | undefined,
): readonly (readonly number[])[] {
  const { group, keeping, stages } = choice;
  const largest = model.sharesOf(choice, slicing, weights);
  const smaller = () => {
    const samples = sizes.at(-1)!;
    if (weights) return splitShares(samples, weights, largest)!;
    const balancer = new Balancer(new Float64Array(largest.length).fill(1));
    const durations = group.lanes.flatMap((lane) =>
      lane.devices.map(() => model.step(stages, keeping, lane)),
    );
    balancer.capacity.set(largest);
    balancer.constant.set(durations.map(({ constant }) => constant));
    balancer.perSample.set(durations.map(({ perSample }) => perSample));
    balancer.balance(samples, 0);
    return [...balancer.each].map((each, i) => each + balancer.more[i]!);
  };
  const rest = sizes.at(-1) === sizes[0] ? largest : smaller();
  return sizes.map((size) => (size === sizes[0] ? largest : rest));
}
