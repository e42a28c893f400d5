import { filesOf, openDataset } from '../../data/index.js';
import { byteLengthOf, bytesPerElement, sizeOf } from '../../graph/index.js';
import { artifactOf, dataWishes, type JobSpec } from '../../protocol/index.js';
import type { JobBytes, LayerProfile } from '../../scheduler/index.js';
import { readJobModel, refuseUnsupported } from './job-model.js';
import { layerProfile } from './layers.js';
import { sampleShapes, stateFactorOf } from './profile.js';

/** What the pipeline planner needs to know of a job. */
export interface PlanInput {
  readonly layers: LayerProfile;
  readonly job: JobBytes;
}

/**
 * Looks at a job's model and the shapes of its data; values of the data are not checked.
 * @param job names its files by content, `sha256:HEX`
 * @param pathOf where the artifact with a hash lies
 * @throws ModelError, UnsupportedOperatorError, BindingError, ShapeError, LossError, DataError, ParameterNameError
 */
export async function planInputOf(
  job: JobSpec,
  model: Uint8Array,
  pathOf: (sha256: string) => { readonly path: string; readonly name: string },
): Promise<PlanInput> {
  const { graph, trained } = readJobModel(job, model);
  refuseUnsupported(graph, trained);
  const { train } = job.data;
  const known = new Set(filesOf(train).map(({ file }) => file));
  const resolve = (file: string) => pathOf(known.has(file) ? (artifactOf(file) ?? file) : file);
  const dataset = await openDataset(train, { resolve, ...dataWishes(graph, job.loss) });
  try {
    const shapes = sampleShapes(graph, dataset);
    const inputs = graph.inputs.reduce((sum, { name, dtype }) => {
      const shape = shapes.inputs.get(name);
      return shape ? sum + byteLengthOf({ dtype, shape }) : sum;
    }, 0);
    const target =
      sizeOf(shapes.target) * bytesPerElement(job.loss === 'cross_entropy' ? 'int64' : 'float32');
    return {
      layers: layerProfile(graph, shapes, job.loss, trained),
      job: {
        stateFactor: stateFactorOf(job.optimizer),
        batchBytesPerSample: inputs + target,
        datasetBytes: dataset.bytes,
      },
    };
  } finally {
    dataset.close();
  }
}
