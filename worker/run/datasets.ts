import { InvariantError, type Sha256 } from '../../base/index.js';
import { filesOf, openDataset, type Dataset } from '../../data/index.js';
import type { Graph } from '../../graph/index.js';
import { artifactOf, dataWishes, type RunPlan } from '../../protocol/index.js';
import { ArtifactError } from '../errors.js';

export interface Datasets {
  readonly train: Dataset;
  readonly validation: Dataset | undefined;
}

/** The artifacts that a run needs besides the model, each once. */
export function runArtifacts({ data, weights }: RunPlan): readonly Sha256[] {
  const specs = [data.train, ...(data.validation ? [data.validation] : [])];
  const files = specs.flatMap((spec) => filesOf(spec).map(({ file }) => file));
  return [...new Set([...files, ...(weights ? [weights.file] : [])].map(hashIn))];
}

/** Opens a run's data from artifacts on this host. @throws DataError */
export async function openDatasets(
  plan: RunPlan,
  graph: Graph,
  paths: ReadonlyMap<Sha256, string>,
): Promise<Datasets> {
  const wishes = dataWishes(graph, plan.loss);
  const resolve = (file: string) => {
    const path = paths.get(hashIn(file));
    if (path === undefined) throw new ArtifactError(`${file} was not fetched`);
    return path;
  };
  const train = await openDataset(plan.data.train, { resolve, ...wishes });
  if (!plan.data.validation) return { train, validation: undefined };
  try {
    const validation = await openDataset(plan.data.validation, {
      resolve,
      ...wishes,
      context: train.context,
    });
    return { train, validation };
  } catch (error) {
    train.close();
    throw error;
  }
}

/** What a rank that reads no sample has to know of the data. Closes it, and keeps nothing of what was open. */
export function describeOnly({ train, validation }: Datasets): Datasets {
  return { train: closed(train), validation: validation && closed(validation) };
}

function closed(dataset: Dataset): Dataset {
  const { length, inputs, target, context } = dataset;
  dataset.close();
  const refuse = () => {
    throw new InvariantError('a rank whose stages take nothing from the data reads it');
  };
  return { length, inputs, target, context, bytes: 0, read: refuse, place: refuse, close: () => undefined };
}

/** @throws ArtifactError for what is not `sha256:HEX` */
export function hashIn(file: string): Sha256 {
  const hash = artifactOf(file);
  if (hash === undefined) throw new ArtifactError(`"${file}" does not name an artifact (sha256:HEX)`);
  return hash;
}
