import { filesOf, openDataset, type Dataset } from '../../data/index.js';
import { byteLengthOf, bytesPerElement, sizeOf } from '../../graph/index.js';
import {
  artifactOf,
  dataWishes,
  type JobSpec,
  type OptimizerConfig,
  sampleShapes,
} from '../../protocol/index.js';
import type { JobBytes, LayerProfile } from '../../scheduler/index.js';
import { readJobModel, refuseUnsupported, type JobModel } from './job-model.js';
import { fusedBytes } from './fused.js';
import { layerProfile } from './layers.js';

/** What the planner needs to know of a job. */
export interface PlanInput {
  readonly layers: LayerProfile;
  readonly job: JobBytes;
}

/**
 * Reads that off a job's model and training data.
 * @throws what buildTrainingGraph throws
 */
export function planInputFrom(job: JobSpec, { graph, trained }: JobModel, train: Dataset): PlanInput {
  const shapes = sampleShapes(graph, train);
  const inputs = graph.inputs.reduce((sum, { name, dtype }) => {
    const shape = shapes.inputs.get(name);
    return shape ? sum + byteLengthOf({ dtype, shape }) : sum;
  }, 0);
  const target = sizeOf(shapes.target) * bytesPerElement(job.loss === 'cross_entropy' ? 'int64' : 'float32');
  return {
    layers: layerProfile(graph, shapes, job.loss, trained, fusedBytes(graph, shapes, job, trained)),
    job: {
      stateFactor: stateFactorOf(job.optimizer),
      batchBytesPerSample: inputs + target,
      datasetBytes: train.bytes,
      validates: job.data.validation !== undefined,
      ...(job.communication?.bucketBytes ? { bucketBytes: job.communication.bucketBytes } : {}),
    },
  };
}

/**
 * Looks at a job's model and the shapes of its data; values of the data are not checked.
 * @param job names its files by content, `sha256:HEX`
 * @param pathOf where the artifact with a hash lies
 * @throws ModelError, UnsupportedOperatorError, BindingError, ShapeError, LossError, DataError, ParameterNameError
 */
export async function planInputOf(
  job: JobSpec,
  bytes: Uint8Array,
  pathOf: (sha256: string) => { readonly path: string; readonly name: string },
): Promise<PlanInput> {
  const model = readJobModel(job, bytes);
  refuseUnsupported(model.graph, model.trained);
  const { train } = job.data;
  const known = new Set(filesOf(train).map(({ file }) => file));
  const resolve = (file: string) => pathOf(known.has(file) ? (artifactOf(file) ?? file) : file);
  const dataset = await openDataset(train, { resolve, ...dataWishes(model.graph, job.loss) });
  try {
    return planInputFrom(job, model, dataset);
  } finally {
    dataset.close();
  }
}

/** Optimizer state beside each parameter. */
function stateFactorOf(optimizer: OptimizerConfig): number {
  switch (optimizer.kind) {
    case 'sgd':
      return (optimizer.momentum ?? 0) > 0 ? 1 : 0;
    case 'adam':
    case 'adamw':
      return 2;
  }
}
