import { formatBytes, formatSeconds, type Seconds } from '../../base/index.js';
import type { Plan, Stage } from '../plan.js';
import { nameOf, TIE, type Candidate } from './candidate.js';
import { crossingSeconds } from './chain.js';
import type { PlanRequest } from './request.js';

/** What keeps the step from being shorter: the busiest device, or what is sent for longer than that. */
export function bottleneckOf(
  { choices, slicing, model }: Candidate,
  stages: readonly Stage[],
): Plan['bottleneck'] {
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

/** A plan in sentences: the whole, then what each stage is, and what each device does and needs. */
export function explain(
  request: PlanRequest,
  candidate: Candidate,
  stages: readonly Stage[],
): readonly string[] {
  const { seconds } = candidate;
  const nodes = stages.reduce((sum, stage) => sum + stage.nodes.length, 0);
  const sentences = [
    `${shapeOf(candidate)}: ${formatSeconds(seconds)} for a step of ${request.batch} samples`,
  ];
  for (const stage of stages) {
    const several = stages.length > 1;
    if (several) sentences.push(layersOf(stage, nodes));
    for (const replica of stage.replicas.slice(0, MOST_LISTED)) {
      sentences.push(
        `${replica.device} takes ${replica.samplesPerStep} of ${request.batch} samples${several ? ` of stage ${stage.index}` : ''}: ` +
          `busy ${formatSeconds(replica.predictedBusySeconds)}, needs ${formatBytes(replica.predictedPeakBytes)} ` +
          `of its ${formatBytes(replica.budgetBytes)}`,
      );
    }
    const rest = stage.replicas.length - MOST_LISTED;
    if (rest > 0)
      sentences.push(`${rest} more devices take the rest of ${several ? `stage ${stage.index}` : 'it'}`);
  }
  return sentences;
}

function shapeOf({ kind, slicing, choices, stagesPerRank }: Candidate): string {
  const { microBatches, samples } = slicing;
  const devices = choices.reduce((sum, { group }) => sum + group.size, 0);
  const shape =
    kind === 'data-parallel'
      ? devices === 1
        ? 'the whole model on one device'
        : `the whole model on each of ${devices} devices`
      : `${choices.length * stagesPerRank} stages on ${devices} devices, schedule ${kind}`;
  return microBatches === 1 ? shape : `${shape}, ${microBatches} micro-batches of at most ${samples} samples`;
}

/** `stage 1: 38 of 120 nodes, /block1/norm to /block2/add, 4 MiB of parameters`. */
function layersOf({ index, nodes, parameters, recompute }: Stage, all: number): string {
  const span = nodes.length > 1 ? `${nodes[0]} to ${nodes.at(-1)}` : (nodes[0] ?? 'nothing');
  const again = recompute ? '; its activations are computed again for the backward pass' : '';
  return `stage ${index}: ${nodes.length} of ${all} nodes, ${span}, ${parameters.length} parameters${again}`;
}

/** Why a plan was not taken. */
export function whyNot(candidate: Candidate, taken: Candidate): string {
  if (candidate.seconds <= taken.seconds * (1 + TIE) && candidate.seconds >= taken.seconds / (1 + TIE)) {
    return `as fast as ${nameOf(taken)} by what a prediction is worth, and not simpler`;
  }
  const more = (100 * (candidate.seconds - taken.seconds)) / taken.seconds;
  const slower = more < 100 ? `${more.toFixed(0)} % slower` : `${(more / 100 + 1).toFixed(1)} times as long`;
  return `${slower}: ${costsOf(candidate).join(', ')}`;
}

function costsOf({ choices, slicing, seconds, kind }: Candidate): readonly string[] {
  const longest = (of: (choice: Candidate['choices'][number]) => Seconds) =>
    choices.reduce((most, choice) => Math.max(most, of(choice)), 0);
  const computing = slicing.microBatches * longest((choice) => choice.seconds);
  const after = longest((choice) => choice.after);
  if (kind === 'data-parallel') {
    const exchanging = choices[0]!.group.size > 1 ? 'exchanging gradients and updating' : 'updating';
    return [`computing takes ${formatSeconds(computing)}`, `${exchanging} ${formatSeconds(after)}`];
  }
  const waiting = Math.max(0, 1 - (computing + after) / seconds);
  return [
    `the busiest of ${choices.length} ranks computes for ${formatSeconds(computing)}`,
    `and waits for ${(100 * waiting).toFixed(0)} % of the step`,
  ];
}
