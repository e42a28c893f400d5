import {
  allocateBatch,
  filesOf,
  openDataset,
  Sampler,
  type Dataset,
  type LocalFile,
} from '../../data/index.js';
import {
  buildTrainingGraph,
  forwardNodes,
  loadWeights,
  LOSS_SCALE,
  readModel,
  runningStatistics,
  setBatchNormalization,
  setLossOutput,
  sizeOf,
  toReference,
  type Graph,
  type Node,
  type Reference,
  type TrainingGraph,
} from '../../graph/index.js';
import {
  dataWishes,
  frozenParameters,
  weightsPlace,
  weightsRules,
  type JobSpec,
  sampleShapes,
  shapesOf,
} from '../../protocol/index.js';
import { fillDropoutMask } from '../run/index.js';

/** Which step of a job, and how much of its batch. */
export interface WhichStep {
  /** From 0. The parameters are those that the job starts with, whichever step it is. */
  readonly step: number;
  /** The batch's first samples; all of them where absent. */
  readonly rows?: number;
}

/** One training step, ready to be computed. */
export interface JobStep {
  readonly training: TrainingGraph;
  /** Names of the model's nodes. */
  readonly own: ReadonlySet<string>;
  readonly forward: ReadonlySet<Node>;
  /** Of every input and parameter of the training graph. */
  readonly values: ReadonlyMap<string, Reference>;
  /** How many samples are computed, of how many that the batch has. */
  readonly samples: number;
  readonly batch: number;
  readonly step: number;
}

/**
 * Reads a job's model, weights and one batch of its training data: what one device would compute in that step if it
 * had the whole batch, as one micro-batch.
 * @param job with paths as its file has them
 * @param pathOf where a file of the job lies
 * @throws ModelError, UnsupportedOperatorError, BindingError, ShapeError, LossError, DataError, WeightsError,
 *   ParameterNameError
 */
export async function openStep(
  job: JobSpec,
  model: Uint8Array,
  pathOf: (file: string) => string,
  which: WhichStep,
): Promise<JobStep> {
  const graph = await startingModel(job, model, pathOf);
  const dataset = await openTraining(job, graph, pathOf);
  try {
    return stepOf(job, graph, dataset, which);
  } finally {
    dataset.close();
  }
}

async function startingModel(
  job: JobSpec,
  model: Uint8Array,
  pathOf: (file: string) => string,
): Promise<Graph> {
  const { graph: exported } = readModel(model, { source: 'model' });
  const seen = setLossOutput(exported, job.lossOutput);
  const graph = setBatchNormalization(seen, job.batchNormalization ?? 'exported');
  if (job.weights === undefined) return graph;
  const rules = weightsRules(job.weights);
  return (await loadWeights(graph, pathOf(rules.file), rules, weightsPlace(job.weights))).graph;
}

function openTraining(job: JobSpec, graph: Graph, pathOf: (file: string) => string): Promise<Dataset> {
  const { train } = job.data;
  const fields = new Map(filesOf(train).map(({ field, file }) => [file, `data.train.${field}`]));
  const resolve = (file: string): LocalFile => ({ path: pathOf(file), name: fields.get(file) ?? file });
  return openDataset(train, { resolve, ...dataWishes(graph, job.loss) });
}

function stepOf(job: JobSpec, graph: Graph, dataset: Dataset, { step, rows }: WhichStep): JobStep {
  const { batch, seed = 0, loss } = job;
  const sampler = new Sampler({ length: dataset.length, batch, order: 'shuffled', seed });
  const all = sampler.batch(sampler.positionOf(step));
  const indices = all.slice(0, rows ?? all.length);
  const samples = indices.length;
  const shapes = sampleShapes(graph, dataset);
  const names = [...shapes.inputs.keys()];
  const parameters = [...graph.parameters.keys()];
  const frozen = frozenParameters(job.frozen ?? [], parameters);
  const training = buildTrainingGraph(graph, {
    loss,
    ...shapesOf(shapes, samples),
    parameters: parameters.filter((name) => !frozen.has(name)),
    includeOutput: true,
  });
  const values = new Map<string, Reference>();
  for (const [name, tensor] of graph.parameters) values.set(name, toReference(tensor));
  const read = allocateBatch(dataset, samples);
  dataset.read(indices, 0, samples, read);
  dataset.inputs.forEach(({ dtype, sampleShape }, i) => {
    values.set(names[i]!, toReference({ dtype, shape: [samples, ...sampleShape], data: read.inputs[i]! }));
  });
  const { name: target, type } = training.target;
  values.set(target, toReference({ ...type, data: read.target }));
  const scale = training.graph.types.get(LOSS_SCALE)?.dtype ?? 'float32';
  values.set(LOSS_SCALE, { dtype: scale, shape: [], data: Float64Array.of(1) });
  for (const [name, tensor] of runningStatistics(graph)) values.set(name, toReference(tensor));
  for (const { input, shape, ratio, index } of training.dropout) {
    const data = new Float32Array(sizeOf(shape));
    fillDropoutMask(data, samples, { seed, step, index, firstSample: 0, ratio });
    values.set(input, toReference({ dtype: 'float32', shape, data }));
  }
  return {
    training,
    own: new Set(graph.nodes.map((node) => node.name)),
    forward: forwardNodes(training),
    values,
    samples,
    batch: all.length,
    step,
  };
}
