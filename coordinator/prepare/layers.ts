import {
  buildStages,
  byteLengthOf,
  peakActivationBytes,
  unitsOf,
  type Edge,
  type Graph,
  type LossKind,
  type StageGraphs,
  type TensorType,
  type TypedGraph,
} from '../../graph/index.js';
import { shapesOf, type SampleShapes } from '../../protocol/index.js';
import type { FusedBytes, LayerProfile, Unit } from '../../scheduler/index.js';
import { examplesIn, needsOf } from './needs.js';
import { workOf } from './work.js';

/** Samples that the numbers are read at: enough that nothing folds away, few enough to be quick. */
const SAMPLES = 2;
/** Which values grow with them shows with one more. */
const MORE_SAMPLES = SAMPLES + 1;

/**
 * A model as the pipeline planner sees it, read off the training graphs of its units: each is cut out and
 * differentiated by itself, as the stages of a run are. Costs what building the training graph costs.
 * @param trained parameters that are differentiated by
 * @param fused what the step of the whole model holds
 * @throws what buildTrainingGraph throws
 */
export function layerProfile(
  graph: Graph,
  shapes: SampleShapes,
  loss: LossKind,
  trained: readonly string[],
  fused: FusedBytes,
): LayerProfile {
  const options = (samples: number) => ({ loss, ...shapesOf(shapes, samples), parameters: trained });
  const names = unitsOf(graph, options(SAMPLES));
  const build = (samples: number) =>
    buildStages(graph, { ...options(samples), stages: names, splitBackward: true });
  const stages = build(SAMPLES);
  const larger = build(MORE_SAMPLES);
  const isTrained = new Set(trained);
  const kept = new Set<string>();
  const units = stages.map((stage, i) => ({
    ...unitOf(graph, stage, names[i]!, isTrained, kept),
    ...needsOf({ samples: [SAMPLES, MORE_SAMPLES], stages: [stage, larger[i]!] }),
  }));
  const bytes = (edges: readonly Edge[]) =>
    edges.reduce((sum, { type }) => sum + byteLengthOf(type), 0) / SAMPLES;
  return {
    units,
    cuts: stages.slice(1).map((stage) => ({
      activationBytesPerSample: bytes(stage.receives),
      gradientBytesPerSample: bytes(stage.sendsGradients),
    })),
    tied: tiedIn(stages, isTrained),
    fused,
    examples: examplesIn(stages),
  };
}

/** @param keptBefore values that units before keep; those of this one are added */
function unitOf(
  graph: Graph,
  stage: StageGraphs,
  nodes: readonly string[],
  trained: ReadonlySet<string>,
  keptBefore: Set<string>,
): Unit {
  const [input, weight] = stage.backward;
  const typeOf = (name: string) => stage.forward.types.get(name)!;
  const [kept, between] = keptIn(stage);
  // what a unit before keeps for its own backward pass is there once, however many read it
  const reread = stage.reread
    .filter((name) => !keptBefore.has(name))
    .reduce((sum, name) => sum + byteLengthOf(typeOf(name)), 0);
  for (const name of stage.reread) keptBefore.add(name);
  const keeps = new Set(stage.kept.map(({ value }) => value));
  for (const { value, at } of stage.sends) if (keeps.has(at)) keptBefore.add(value);
  const gradients = new Set(stage.gradients.values());
  return {
    nodes,
    parameters: stage.parameters.map((name) => ({
      name,
      bytes: byteLengthOf(graph.parameters.get(name)!),
      trained: trained.has(name),
    })),
    forward: workOf(stage.forward, SAMPLES),
    backwardInput: workOf(input, SAMPLES, gradients),
    backwardWeight: workOf(weight, SAMPLES, gradients),
    savedBytesPerSample: (kept + reread) / SAMPLES,
    rereadBytesPerSample: reread / SAMPLES,
    betweenBytesPerSample: between / SAMPLES,
    forwardBytesPerSample: withinEngine(stage.forward) / SAMPLES,
    backwardBytesPerSample:
      Math.max(...[input, weight].map((program) => (program ? withinEngine(program) : 0))) / SAMPLES,
  };
}

/**
 * Bytes that the forward pass leaves for the backward pass; and those that the first half of the backward pass leaves for
 * the second, with what comes back from units after, which within a stage is left so, too.
 */
function keptIn({ forward, backward, kept, receivesGradients }: StageGraphs): readonly [number, number] {
  const forwards = new Set(forward.outputs);
  const weight = new Set(backward[1]?.inputs);
  const bytes = (some: readonly { readonly type: TensorType }[]) =>
    some.reduce((sum, { type }) => sum + byteLengthOf(type), 0);
  return [
    bytes(kept.filter(({ value }) => forwards.has(value))),
    bytes(kept.filter(({ value }) => !forwards.has(value))) +
      bytes(receivesGradients.filter(({ at }) => weight.has(at))),
  ];
}

/** Peak of what the engine holds itself: what a program gives is written to buffers of the caller. */
function withinEngine(program: TypedGraph): number {
  const given = new Set(program.outputs);
  const types = new Map([...program.types].filter(([name]) => !given.has(name)));
  return peakActivationBytes({ ...program, types });
}

function tiedIn(stages: readonly StageGraphs[], trained: ReadonlySet<string>): LayerProfile['tied'] {
  const users = new Map<string, number[]>();
  stages.forEach(({ parameters }, unit) => {
    for (const name of parameters.filter((each) => trained.has(each))) {
      users.set(name, [...(users.get(name) ?? []), unit]);
    }
  });
  return [...users]
    .filter(([, units]) => units.length > 1)
    .map(([parameter, units]) => ({ parameter, units }));
}
