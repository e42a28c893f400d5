import { formatBytes, formatSeconds, type Seconds } from '../../base/index.js';
import { totalOf } from '../account.js';
import type { Plan, Replica, Stage, StageSeconds } from '../plan.js';
import { splitShares } from '../shares.js';
import { Balancer } from './balance.js';
import { crossingSeconds } from './chain.js';
import type { HeldStage } from './memory.js';
import { pipelineCosts } from './played.js';
import type { PlanRequest } from './request.js';
import type { Candidate } from './search.js';
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
  const beside = [rank - 1, rank + 1].map((at) => choices[(at + choices.length) % choices.length]!.group.size);
  const neighbours = choices.length === 1 ? 0 : Math.max(...beside);
  const shares = sharesOf(candidate, choice, sizes, parallelism?.shares);
  return group.lanes
    .flatMap(({ devices, rates }) => devices.map((device) => ({ device, rates })))
    .flatMap(({ device, rates }, i) => {
      const mine = shares.map((share) => share[i]!);
      if (mine[0] === 0) return [];
      const account = model.bytes.account(
        {
          stages,
          keeping,
          replicas: group.size,
          shardOptimizer: slicing.shardOptimizer,
          neighbours,
        },
        mine[0]!,
      );
      const busy = (stage: HeldStage): Seconds => {
        const { constant, perSample } = model.step([stage], keeping, rates);
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
    const durations = group.lanes.flatMap(({ devices, rates }) =>
      devices.map(() => model.step(stages, keeping, rates)),
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

/** What keeps the step from being shorter: the busiest device, or what is sent for longer than that. */
function bottleneckOf({ choices, slicing, model }: Candidate, stages: readonly Stage[]): Plan['bottleneck'] {
  const { microBatches, samples } = slicing;
  const busiest = choices.reduce((a, b) => (b.seconds > a.seconds ? b : a));
  const computing = microBatches * busiest.seconds;
  const exchanging = choices.reduce((a, b) => (b.after > a.after ? b : a)).after;
  let worst = {
    seconds: computing,
    device: slowestOf(stages[choices.indexOf(busiest)]!),
    why: `computing its ${choices.length > 1 ? 'stage' : 'share'} takes ${formatSeconds(computing)} a step`,
  };
  if (exchanging > worst.seconds) {
    const why = `exchanging gradients and updating takes ${formatSeconds(exchanging)} a step`;
    worst = { seconds: exchanging, device: 'network', why };
  }
  choices.slice(1).forEach((to, i) => {
    const from = choices[i]!;
    const cut = model.layers.cuts[from.stages[0]!.to - 1]!;
    const seconds = microBatches * crossingSeconds(model, from.group, to.group, cut, samples);
    if (seconds <= worst.seconds) return;
    const link = `${from.group.devices[0]!.host} to ${to.group.devices[0]!.host}`;
    worst = {
      seconds,
      device: 'network',
      why: `sending what crosses from stage ${i} to ${i + 1} (${link}) takes ${formatSeconds(seconds)} a step`,
    };
  });
  return { device: worst.device, why: worst.why };
}

/** The replica that a stage waits for. */
function slowestOf({ replicas }: Stage): string {
  return replicas.reduce((a, b) => (b.predictedBusySeconds > a.predictedBusySeconds ? b : a)).device;
}

/** More devices than this are summed up, not listed. */
const MOST_LISTED = 16;

function explain(request: PlanRequest, candidate: Candidate, stages: readonly Stage[]): readonly string[] {
  const { kind, slicing, seconds } = candidate;
  const { microBatches, samples } = slicing;
  const pipeline =
    kind === 'data-parallel'
      ? `one stage of all ${request.layers.units.length} units`
      : `${stages.length} stages, schedule ${kind}`;
  const cut = microBatches === 1 ? '' : `, ${microBatches} micro-batches of at most ${samples} samples`;
  const sentences = [`${pipeline}${cut}: ${formatSeconds(seconds)} for a step of ${request.batch} samples`];
  for (const { index, units, replicas, recompute } of stages) {
    const [from, to] = units ?? [0, 0];
    const where = stages.length > 1 ? `stage ${index} (units ${from} to ${to - 1})` : 'the model';
    for (const replica of replicas.slice(0, MOST_LISTED)) {
      sentences.push(
        `${replica.device} takes ${replica.samplesPerStep} of ${request.batch} samples of ${where}: ` +
          `busy ${formatSeconds(replica.predictedBusySeconds)}, needs ${formatBytes(replica.predictedPeakBytes)} ` +
          `of its ${formatBytes(replica.budgetBytes)}${recompute ? ', computing activations again' : ''}`,
      );
    }
    const rest = replicas.length - MOST_LISTED;
    if (rest > 0) sentences.push(`${rest} more devices take the rest of ${where}`);
  }
  return sentences;
}
