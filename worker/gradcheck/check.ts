import { InvariantError } from '../../base/index.js';
import {
  buildTrainingGraph,
  UnsupportedOperatorError,
  type TensorData,
  type TrainingGraph,
  type UnsupportedOperator,
} from '../../graph/index.js';
import type { Engine, Fallback } from '../engine/index.js';
import type { GradcheckCase } from './case.js';
import { LocalTrainer } from './trainer.js';

/**
 * A gradient this small beside all of them together is zero up to float32 rounding, as that of a bias right before a
 * normalization: the reference's own is noise, in which no two programs agree.
 */
const ROUNDING = 1e-5;

/**
 * How far a model's numbers are from the reference's. Every error is ||a - b|| / (||b|| + 1e-8), but for gradients
 * that are zero on both sides (`zeroGradients`): theirs is relative to all gradients together.
 */
export interface GradcheckResult {
  readonly case: string;
  /** Whether every error is at most `rtol` and nothing is unsupported. */
  readonly pass: boolean;
  /** Of the model's output. Errors are null where the model could not be run. */
  readonly outputError: number | null;
  readonly lossError: number | null;
  readonly worstGradient: { readonly name: string; readonly error: number } | null;
  /** By parameter. */
  readonly gradients: Readonly<Record<string, number>>;
  /** Parameters whose gradient is zero up to rounding, here and in the reference. */
  readonly zeroGradients: readonly string[];
  /**
   * After all optimizer steps: the larger of the error of the losses before each step, as a vector, and the error
   * of all parameters (and running statistics, where the case has them) together.
   */
  readonly trajectoryError: number | null;
  /** Operators without a gradient rule (or without a meaning to us at all), with the nodes' names. */
  readonly unsupported: readonly UnsupportedOperator[];
  /** Parameters of the case that the model file does not have under their names: not compared. */
  readonly skipped: readonly string[];
  readonly rtol: number;
  /** Nodes of the training graph that did not run on the device but on the host's CPU. */
  readonly fallbacks: readonly Fallback[];
  readonly engine: string;
  readonly device: string;
}

/**
 * Compares output, loss, gradients and an optimizer's trajectory with those of the case.
 * @throws DtrainError where the model does not fit its inputs, or the engine fails
 */
export async function gradcheck(
  found: GradcheckCase,
  engine: Engine,
  rtol: number,
): Promise<GradcheckResult> {
  const { name, parametersMissingInOnnx: skipped = [] } = found;
  const base = { case: name, skipped, rtol, engine: engine.name, device: engine.device };
  let training: TrainingGraph;
  try {
    training = trainingOf(found);
  } catch (error) {
    if (!(error instanceof UnsupportedOperatorError)) throw error;
    const nothing = {
      outputError: null,
      lossError: null,
      worstGradient: null,
      gradients: {},
      zeroGradients: [],
      trajectoryError: null,
      fallbacks: [],
    };
    return { ...base, ...nothing, pass: false, unsupported: error.operators };
  }
  const measured = await measure(found, training, engine);
  const worstGradient = worst(measured.gradients);
  const errors = [
    measured.outputError,
    measured.lossError,
    worstGradient?.error ?? 0,
    measured.trajectoryError,
  ];
  // a NaN is no pass
  const pass = errors.every((error) => error <= rtol);
  return { ...base, ...measured, worstGradient, pass, unsupported: [] };
}

function trainingOf({ model, loss, inputs, target, tensors, checked }: GradcheckCase): TrainingGraph {
  const shapes = Object.fromEntries(inputs.map((input) => [input, tensors.get(input)!.shape]));
  const targetShape = tensors.get(target)!.shape;
  return buildTrainingGraph(model, { loss, shapes, targetShape, parameters: checked, includeOutput: true });
}

async function measure(found: GradcheckCase, training: TrainingGraph, engine: Engine) {
  const { tensors, checked, statistics, lossAtStep } = found;
  const wanted = (key: string) => tensors.get(key)!.data;
  const trainer = await LocalTrainer.create(engine, training, found.model, found.optimizer);
  try {
    for (const input of found.inputs) trainer.set(input, wanted(input));
    trainer.set(training.target.name, wanted(found.target));
    await trainer.run();
    const outputError = distance([[trainer.output, wanted('output')]]);
    const lossError = distance([[[trainer.loss], wanted('loss')]]);
    const compared = checked.map((name) => ({
      name,
      ours: trainer.gradients.get(name)!,
      theirs: wanted(`grad.${name}`),
    }));
    const { gradients, zeroGradients } = compareGradients(compared);
    const losses: number[] = [];
    for (let step = 1; step <= lossAtStep.length; step++) {
      if (step > 1) await trainer.run();
      losses.push(trainer.loss);
      trainer.update(step);
    }
    const after = [
      ...checked.map((name) => [trainer.parameters.get(name)!, wanted(`after.${name}`)] as const),
      ...statistics.map((name) => [trainer.statistics.of(name), wanted(`after.${name}`)] as const),
    ];
    const trajectoryError = Math.max(distance([[losses, lossAtStep]]), distance(after));
    return {
      outputError,
      lossError,
      gradients,
      zeroGradients,
      trajectoryError,
      fallbacks: trainer.fallbacks,
    };
  } finally {
    await trainer.dispose();
  }
}

type Values = TensorData | readonly number[];

/** One parameter's gradient, and the reference's. */
export interface GradientPair {
  readonly name: string;
  readonly ours: Values;
  readonly theirs: Values;
}

/** The error of each gradient by name, and which are zero up to rounding. */
export function compareGradients(
  pairs: readonly GradientPair[],
): Pick<GradcheckResult, 'gradients' | 'zeroGradients'> {
  const whole = Math.hypot(...pairs.map(({ theirs }) => norm(theirs)));
  const isZero = ({ ours, theirs }: GradientPair) => norm(ours) + norm(theirs) <= ROUNDING * whole;
  const errorOf = (pair: GradientPair) =>
    distance([[pair.ours, pair.theirs]]) * (isZero(pair) ? (norm(pair.theirs) + 1e-8) / (whole + 1e-8) : 1);
  return {
    gradients: Object.fromEntries(pairs.map((pair) => [pair.name, errorOf(pair)])),
    zeroGradients: pairs.filter(isZero).map(({ name }) => name),
  };
}

function norm(values: Values): number {
  let squares = 0;
  for (const value of values) squares += Number(value) ** 2;
  return Math.sqrt(squares);
}

/** ||a - b|| / (||b|| + 1e-8) over all pairs together, in float64. */
export function distance(pairs: readonly (readonly [Values, Values])[]): number {
  let difference = 0;
  let size = 0;
  for (const [a, b] of pairs) {
    if (a.length !== b.length) throw new InvariantError(`${a.length} values are compared with ${b.length}`);
    for (let i = 0; i < a.length; i++) {
      const wanted = Number(b[i]!);
      difference += (Number(a[i]!) - wanted) ** 2;
      size += wanted ** 2;
    }
  }
  return Math.sqrt(difference) / (Math.sqrt(size) + 1e-8);
}

/** The largest error; one that is not a number is worse than any. */
function worst(errors: Readonly<Record<string, number>>): { name: string; error: number } | null {
  let found: { name: string; error: number } | null = null;
  for (const [name, error] of Object.entries(errors)) {
    if (!found || error > found.error || (Number.isNaN(error) && !Number.isNaN(found.error)))
      found = { name, error };
  }
  return found;
}
