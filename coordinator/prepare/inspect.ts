import { readFile } from 'node:fs/promises';
import {
  checkDataset,
  leastShare,
  filesOf,
  openDataset,
  type CheckOptions,
  type DataContext,
  type DatasetSpec,
} from '../../data/index.js';
import {
  buildTrainingGraph,
  checkCounts,
  checkWeights,
  intAttribute,
  ModelError,
  runningStatistics,
  takesValue,
  targetTypeOf,
  WeightsError,
  type Graph,
  type LossKind,
  type Model,
  type Tensor,
  type TrainingGraph,
  type TypedGraph,
  bindGraph,
} from '../../graph/index.js';
import {
  artifactOf,
  dataWishes,
  parameterGroups,
  weightsPlace,
  weightsRules,
  type WeightsField,
  type JobSpec,
  sampleShapes,
  shapesOf,
  type SampleShapes,
} from '../../protocol/index.js';
import { InvariantError } from '../../base/index.js';
import type { ModelFacts } from '../job/state.js';
import { readJobModel, refuseUnsupported } from './job-model.js';
import { planInputFrom } from './plan-input.js';

/** What is learnt of a job from its model and its data. */
export interface Inspection {
  /** Samples of the training data. */
  readonly rows: number;
  readonly model: ModelFacts;
}

/**
 * Reads a job's model and data and makes sure that they go together: every operator has a gradient, every input is
 * fed, patterns name parameters, the weights are the model's, shapes and types fit, every value can be trained on,
 * every label is a class.
 * @param paths where each artifact lies
 * @throws ModelError, UnsupportedOperatorError, BindingError, ShapeError, LossError, DataError, ParameterNameError,
 *   WeightsError
 */
export async function inspectJob(job: JobSpec, paths: ReadonlyMap<string, string>): Promise<Inspection> {
  const read = readJobModel(job, await readFile(pathOf(paths, job.model)));
  const { model, graph, trained } = read;
  parameterGroups(job.optimizer, [...graph.parameters.keys()]);
  refuseUnsupported(graph, trained);
  refuseOtherTypes(graph);
  refuseUnwritable(model, runningStatistics(graph));
  if (job.weights !== undefined) await refuseOtherWeights(model, graph, job.weights, paths);
  const wishes = dataWishes(graph, job.loss);
  const open = (spec: DatasetSpec, field: string, context?: DataContext) => {
    const names = new Map(filesOf(spec).map(({ field: at, file }) => [file, `${field}.${at}`]));
    const resolve = (file: string) => ({ path: pathOf(paths, file), name: names.get(file) ?? field });
    return openDataset(spec, { resolve, ...wishes, ...(context ? { context } : {}) });
  };
  const train = await open(job.data.train, 'data.train');
  try {
    const shapes = sampleShapes(graph, train);
    const training = buildTrainingGraph(graph, {
      loss: job.loss,
      ...shapesOf(shapes, largerBatch(job.batch)),
      parameters: trained,
    });
    refuseUntrainable(training);
    refuseSingleSamples(training, job, train.length);
    const checks = checksOf(graph, shapes, job.loss);
    await checkDataset(train, checks);
    if (job.data.validation) {
      const validation = await open(job.data.validation, 'data.validation', train.context);
      try {
        await checkDataset(validation, checks);
      } finally {
        validation.close();
      }
    }
    const { vocabulary } = train.context;
    return {
      rows: train.length,
      model: {
        ...planInputFrom(job, read, train),
        vocabulary: vocabulary ? [...vocabulary] : null,
        samples: {
          inputs: [...shapes.inputs].map(([name, shape]) => ({ name, shape })),
          target: shapes.target,
        },
      },
    };
  } finally {
    train.close();
  }
}

/** Buckets, kernels and the wire are float32. @throws ModelError naming the parameters */
function refuseOtherTypes({ parameters }: Graph): void {
  const others = [...parameters].filter(([, { dtype }]) => dtype !== 'float32');
  if (others.length === 0) return;
  const shown = others.slice(0, 5).map(([name, { dtype }]) => `"${name}" is ${dtype}`);
  const more = others.length > shown.length ? `, and ${others.length - shown.length} more` : '';
  throw new ModelError(
    `model: parameter ${shown.join(', ')}${more}; dtrain trains float32: export the model in float32`,
    { ids: { parameters: others.map(([name]) => name) } },
  );
}

/** What is learnt has to go back into the file. @throws ModelError naming what the file has no place for */
function refuseUnwritable(model: Model, statistics: ReadonlyMap<string, Tensor>): void {
  const homeless = [...statistics.keys()].filter((name) => !takesValue(model, name));
  if (homeless.length === 0) return;
  throw new ModelError(
    `model: the running statistics "${homeless.join('", "')}" are made within a function or a body of the file; initializers ` +
      'would be accepted, for training changes them. Or keep them, with batchNormalization: freeze',
    { ids: { values: homeless } },
  );
}

/** Header and names only. @throws WeightsError when the file does not fit, or cannot come back with the results */
async function refuseOtherWeights(
  model: Model,
  graph: Graph,
  field: WeightsField,
  paths: ReadonlyMap<string, string>,
): Promise<void> {
  const rules = weightsRules(field);
  const place = weightsPlace(field);
  const matches = await checkWeights(graph, pathOf(paths, rules.file), rules, place);
  const homeless = matches.map(({ name }) => name).filter((name) => !takesValue(model, name));
  if (homeless.length === 0) return;
  throw new WeightsError(
    `${place}: "${homeless.join('", "')}" are made within a function or a body of the model's file, which cannot take ` +
      'other values: leave them out with skip',
    { ids: { values: homeless } },
  );
}

/** @throws ModelError when there is nothing to train, or the loss is not float32 */
function refuseUntrainable({ graph, gradients, loss }: TrainingGraph): void {
  if (gradients.size === 0) {
    throw new ModelError(
      'model: the loss depends on no parameter of the model that is not frozen; there is nothing to train',
    );
  }
  const { dtype } = graph.types.get(loss)!;
  if (dtype !== 'float32') {
    throw new ModelError(
      `model: its output is ${dtype}; dtrain trains float32: leave out the Cast at its end, or export it in float32`,
    );
  }
}

/** A batch whose size does not vanish from the shapes. */
function largerBatch(batch: number): number {
  return Math.max(2, batch);
}

/** As one device would see them; each rank looks at its own. @throws ModelError */
function refuseSingleSamples({ statistics }: TrainingGraph, job: JobSpec, rows: number): void {
  const steps = job.steps ?? Infinity;
  checkCounts(
    statistics,
    largerBatch(job.batch),
    leastShare(rows, { batch: job.batch, steps, weights: [1] }),
  );
}

function pathOf(paths: ReadonlyMap<string, string>, reference: string): string {
  const path = paths.get(artifactOf(reference) ?? '');
  if (path === undefined) throw new InvariantError(`"${reference}" was not looked up before the inspection`);
  return path;
}

/** What every value of the data has to keep to, as the model tells. */
function checksOf(graph: Graph, shapes: SampleShapes, loss: LossKind): CheckOptions {
  const samples = 2;
  const bound = bindGraph(graph, {
    shapes: shapesOf(shapes, samples).shapes,
  });
  const embeddingRows = [...shapes.inputs.keys()].map((input) => embeddingRowsOf(bound, input));
  if (loss === 'binary_cross_entropy_with_logits') return { embeddingRows, targetRange: [0, 1] };
  if (loss !== 'cross_entropy') return { embeddingRows };
  const output = bound.types.get(bound.outputs[0]!)!;
  const target = targetTypeOf(loss, output, [samples, ...shapes.target]);
  // the axis that the target lacks holds the classes: the last one, or PyTorch's second
  const last = target.shape.every((dim, axis) => dim === output.shape[axis]);
  return { embeddingRows, classes: last ? output.shape.at(-1)! : output.shape[1]! };
}

/** Rows of the table that an integer input indexes, straight or through a change of type or shape. */
function embeddingRowsOf(graph: TypedGraph, input: string): number | undefined {
  const same = new Set([input]);
  for (const node of graph.nodes) {
    const [first, second] = node.inputs;
    if (
      ['Cast', 'Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Identity'].includes(node.operator) &&
      same.has(first ?? '')
    ) {
      same.add(node.outputs[0]!);
    } else if (node.operator === 'Gather' && same.has(second ?? '') && intAttribute(node, 'axis', 0) === 0) {
      const table = graph.parameters.get(first!);
      if (table) return table.shape[0];
    }
  }
  return undefined;
}
