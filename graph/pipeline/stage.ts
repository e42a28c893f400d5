import { Formula } from '../formula/index.js';
import { differentiate, reachable } from '../gradient/index.js';
import { GraphBuilder } from '../ir/builder.js';
import type { Graph, TypedGraph } from '../ir/graph.js';
import { isFloat, type Tensor, type TensorType } from '../ir/tensor.js';
import { attachLoss } from '../loss/index.js';
import { standardOperators } from '../operators/index.js';
import { removeDeadCode } from '../passes/index.js';
import {
  batchOf,
  bindForward,
  LOSS_SCALE,
  lossOptions,
  lowerForEngines,
  nameOutputs,
  prepareForward,
  runningStatistics,
  setDropout,
  usesBatch,
  type BatchStatistics,
  type DropoutMask,
  type LossGraphOptions,
  type OutputName,
} from '../training/index.js';
import { divide, type Division } from './boundary.js';
import { StageError } from './errors.js';
import { crossingAt, partOf, type Edge } from './part.js';
import { splitPhases } from './phases.js';

export interface StageOptions extends LossGraphOptions {
  /**
   * Names of the model's nodes, stage by stage; every node that binding keeps is in exactly one. Of what binding
   * writes (loops in full) none has to be named.
   */
  readonly stages: readonly (readonly string[])[];
  /** Parameters to differentiate by; all where absent. */
  readonly parameters?: Iterable<string>;
  /** Stages that keep only their inputs for the backward pass and compute the rest again; none where absent. */
  readonly recompute?: readonly boolean[];
  /** Whether the backward pass is two programs: gradients of a stage's inputs, and those of its parameters. */
  readonly splitBackward?: boolean;
  /**
   * Stages whose `forward` is all of their work on a micro-batch, backward pass included, so that nothing is kept in
   * between: the last one, where its backward pass always follows its forward pass at once; and any that is sent no
   * gradients. None where absent.
   */
  readonly fused?: readonly boolean[];
}

/**
 * The programs of one stage for one micro-batch, and everything that goes in and out. Each program reads, of what is
 * said here to be an input, what its `inputs` name.
 */
export interface StageGraphs {
  /**
   * Inputs: data, masks, `receives`, `running`, in the last stage the target. Outputs: `sends`, statistics, the loss,
   * and what backward keeps. Of a fused stage also LOSS_SCALE among the inputs, and among the outputs those of
   * `sendsGradients` and `gradients`, instead of what is kept.
   */
  readonly forward: TypedGraph;
  /**
   * The backward pass, whole or in two halves (inputs' gradients, parameters' gradients); a half that computes
   * nothing is absent, and so are those of a fused stage. The last stage's reads LOSS_SCALE.
   */
  readonly backward: readonly (TypedGraph | undefined)[];
  /** From the stage before: activations. */
  readonly receives: readonly Edge[];
  /** To the stage after. */
  readonly sends: readonly Edge[];
  /** Gradients of what was sent, from the stage after: inputs of the backward programs, of either half. */
  readonly receivesGradients: readonly Edge[];
  /** Gradients of what was received, to the stage before. */
  readonly sendsGradients: readonly Edge[];
  /** Outputs of the forward (or first backward) program that later programs take; they live until then. */
  readonly kept: readonly { readonly value: string; readonly type: TensorType }[];
  /** Inputs of the forward program that a backward program reads too: data, masks, received values, target. */
  readonly reread: readonly string[];
  /** Inputs of some program that are running statistics of the training: as in TrainingGraph. */
  readonly running: readonly string[];
  /** Parameters that the stage uses, trained or not, in the model's order. */
  readonly parameters: readonly string[];
  /** Parameter to the output of a program that holds LOSS_SCALE * d loss / d parameter. */
  readonly gradients: ReadonlyMap<string, string>;
  /** Numbered as those of the uncut model. */
  readonly dropout: readonly DropoutMask[];
  readonly statistics: readonly BatchStatistics[];
  /** The last stage's: the input for the target, and the output that holds the micro-batch's mean loss. */
  readonly target?: { readonly name: string; readonly type: TensorType };
  readonly loss?: string;
}

/**
 * Cuts a model into stages and differentiates each by itself: the backward pass of a stage starts from the gradients
 * of what it sent, and ends with those of what it received. Run one after the other, the stages compute what
 * `buildTrainingGraph` does, up to rounding. A parameter that several stages use has a gradient in each of them;
 * the sum is its gradient.
 *
 * Guarantees: what crosses the boundaries is the same for every number of samples. Each stage costs what
 * `buildTrainingGraph` costs for its nodes.
 * @throws StageError where the stages do not follow each other, share running statistics, or one cannot be fused;
 *   and what buildTrainingGraph throws
 */
export function buildStages(graph: Graph, options: StageOptions): readonly StageGraphs[] {
  const state = runningStatistics(graph);
  const bound = removeDeadCode(bindForward(setDropout(graph, true), state, options));
  const division = divide(bound, { model: graph, stages: options.stages, state });
  const trained = new Set(
    [...(options.parameters ?? bound.parameters.keys())].filter((p) => bound.parameters.has(p)),
  );
  const active = reachable(bound.nodes, trained, (value) => isFloat(bound.types.get(value)!.dtype));
  const last = options.stages.length - 1;
  const prepared = prepareStages(bound, division);
  const stages = new Array<StageGraphs>(options.stages.length);
  // from the last to the first: a stage's seeds are what the stage after it can give gradients for
  let wanted: ReadonlySet<string> = new Set();
  for (let stage = last; stage >= 0; stage--) {
    const fused = options.fused?.[stage] ?? false;
    if (fused && wanted.size > 0) {
      throw new StageError(
        `stage ${stage} cannot run forward and backward in one program: stage ${stage + 1} sends it gradients in between. ` +
          'The last stage would be accepted',
      );
    }
    const { received } = crossingAt(division, stage);
    const built = buildStage({
      ...prepared[stage]!,
      bound,
      options,
      state,
      received,
      differentiable: received.filter((value) => active.has(value)),
      seeded: wanted,
      isLast: stage === last,
      trained,
      fused,
      recompute: options.recompute?.[stage] ?? false,
    });
    stages[stage] = built;
    wanted = new Set(built.sendsGradients.map(({ value }) => value));
  }
  return stages;
}

/** A stage's forward pass as it is differentiated. */
interface Prepared {
  /** As it was bound. */
  readonly part: TypedGraph;
  readonly forward: TypedGraph;
  readonly masks: readonly DropoutMask[];
}

/** From the first stage to the last: masks are numbered over the whole model. */
function prepareStages(bound: TypedGraph, division: Division): readonly Prepared[] {
  let masksBefore = 0;
  return division.nodes.map((_, stage) => {
    const part = partOf(bound, division, stage);
    const prepared = { part, ...prepareForward(part, masksBefore) };
    masksBefore += prepared.masks.length;
    return prepared;
  });
}

interface StageRequest extends Prepared {
  readonly bound: TypedGraph;
  readonly options: StageOptions;
  readonly state: ReadonlyMap<string, Tensor>;
  readonly received: readonly string[];
  /** Those of the received values that depend on a trained parameter. */
  readonly differentiable: readonly string[];
  /** Sent values whose gradients come back. */
  readonly seeded: ReadonlySet<string>;
  readonly isLast: boolean;
  readonly trained: ReadonlySet<string>;
  readonly fused: boolean;
  readonly recompute: boolean;
}

/** Differentiates one stage and splits it into its programs. */
function buildStage(request: StageRequest): StageGraphs {
  const { part, forward, masks, options, state, received, isLast, trained, fused } = request;
  const builder = new GraphBuilder(standardOperators, forward);
  const f = new Formula(builder);
  const batches = forward.nodes.filter(usesBatch).map((node) => batchOf(f, node));
  const start = isLast ? lossOf(f, request) : sentOf(f, request);
  const parameters = [...forward.parameters.keys()];
  const wanted = [...parameters.filter((name) => trained.has(name)), ...request.differentiable];
  const found = differentiate(builder, forward.nodes, start.seeds, wanted);
  const upstream = request.differentiable.filter((value) => found.has(value));
  const differentiated = parameters.filter((name) => found.has(name));

  const values = new Results();
  const results = start.results.map(({ value, name }) => values.add(value, name, false));
  const batch = batches.map(({ mean, variance }) => ({
    mean: values.add(mean.value, `batch.${mean.buffer}`, false),
    variance: values.add(variance.value, `batch.${variance.buffer}`, false),
  }));
  const toInputs = upstream.map((value) => values.add(found.get(value)!, `grad.${value}`, true));
  const toParameters = differentiated.map((name) => values.add(found.get(name)!, `grad.${name}`, true));
  const whole = lowerForEngines(
    builder.build(
      part.name,
      values.list.map(({ value }) => value),
    ),
  );
  const named = nameOutputs(
    whole,
    values.list.map(({ as }) => as),
  );
  const at = (place: number) => named.outputs[place]!;

  const first = [...results, ...batch.flatMap(({ mean, variance }) => [mean, variance])].map(at);
  const backward = options.splitBackward
    ? [toInputs.map(at), toParameters.map(at)]
    : [[...toInputs, ...toParameters].map(at)];
  const phases = fused
    ? splitPhases(named, [[...first, ...backward.flat()]])
    : splitPhases(named, [first, ...backward], request.recompute);
  const later = phases.slice(1);
  const edge = (value: string, name: string): Edge => ({ value, type: part.types.get(value)!, at: name });
  const read = new Set(phases.flatMap(({ graph }) => graph.inputs));
  const readLater = new Set(later.flatMap(({ graph }) => graph.inputs));
  const kept = [...new Set(later.flatMap((phase) => phase.kept))];
  const running = part.inputs.filter((name) => state.has(name));
  const given = part.inputs
    .filter((name) => !state.has(name))
    .concat(
      masks.map(({ input }) => input),
      start.target ? [start.target.name] : [],
    );
  return {
    forward: phases[0]!.graph,
    backward: backward.map((_, half) => {
      const graph = later[half]?.graph;
      return graph && graph.outputs.length > 0 ? graph : undefined;
    }),
    receives: received.map((value) => edge(value, value)),
    sends: isLast ? [] : start.results.map(({ name }, i) => edge(name, at(results[i]!))),
    receivesGradients: [...start.gradients].map(([value, input]) => edge(value, input)),
    sendsGradients: upstream.map((value, i) => edge(value, at(toInputs[i]!))),
    kept: kept.map((value) => ({ value, type: named.types.get(value)! })),
    reread: given.filter((name) => readLater.has(name)),
    running: running.filter((name) => read.has(name)),
    parameters,
    gradients: new Map(differentiated.map((name, i) => [name, at(toParameters[i]!)])),
    dropout: masks,
    statistics: batches.map(({ mean, variance, ...rest }, i) => ({
      ...rest,
      mean: { buffer: mean.buffer, output: at(batch[i]!.mean) },
      variance: { buffer: variance.buffer, output: at(batch[i]!.variance) },
    })),
    ...(start.target ? { target: start.target, loss: at(results[0]!) } : {}),
  };
}

/** Where a stage's backward pass starts. */
interface Start {
  /** Values of the forward pass to their gradients. */
  readonly seeds: ReadonlyMap<string, string>;
  /** What the forward pass gives: the loss, or the values to send, with the names they should have. */
  readonly results: readonly { readonly value: string; readonly name: string }[];
  /** Sent value to the input that brings its gradient. */
  readonly gradients: ReadonlyMap<string, string>;
  readonly target?: { readonly name: string; readonly type: TensorType };
}

function lossOf(f: Formula, { forward, bound, options }: StageRequest): Start {
  const output = forward.outputs[0]!;
  const loss = attachLoss(f, options.loss, output, lossOptions(f.builder, options, bound));
  const scale = f.builder.input(LOSS_SCALE, { dtype: f.typeOf(output).dtype, shape: [] });
  return {
    seeds: new Map([[output, loss.gradient(scale)]]),
    results: [{ value: loss.loss, name: 'loss' }],
    gradients: new Map(),
    target: loss.target,
  };
}

function sentOf(f: Formula, { part, forward, seeded }: StageRequest): Start {
  const { builder } = f;
  const seeds = new Map<string, string>();
  const gradients = new Map<string, string>();
  part.outputs.forEach((value, i) => {
    if (!seeded.has(value)) return;
    const name = builder.has(`grad.${value}`) ? builder.freshName(`grad.${value}`) : `grad.${value}`;
    const gradient = builder.input(name, part.types.get(value)!);
    gradients.set(value, gradient);
    // simplifying may have found that two of the values are one
    const source = forward.outputs[i]!;
    const other = seeds.get(source);
    seeds.set(source, other === undefined ? gradient : f.add(other, gradient));
  });
  return {
    seeds,
    gradients,
    results: part.outputs.map((value, i) => ({ value: forward.outputs[i]!, name: value })),
  };
}

/** Outputs of a graph in the making, each with its place. */
class Results {
  readonly list: { readonly value: string; readonly as: OutputName }[] = [];

  add(value: string, name: string, terminal: boolean): number {
    return this.list.push({ value, as: { name, terminal } }) - 1;
  }
}
