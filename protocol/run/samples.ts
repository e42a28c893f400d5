import { InvariantError } from '../../base/index.js';
import type { Dataset } from '../../data/index.js';
import type { Graph } from '../../graph/index.js';

/** Shapes of one sample, by the model's input in the order of the data's; and of its target. */
export interface SampleShapes {
  readonly inputs: ReadonlyMap<string, readonly number[]>;
  readonly target: readonly number[];
}

/** The shapes of a data set's samples under the names of the model's inputs. */
export function sampleShapes(
  graph: Pick<Graph, 'inputs'>,
  dataset: Pick<Dataset, 'inputs' | 'target'>,
): SampleShapes {
  const inputs = dataset.inputs.map(({ name, sampleShape }, i): [string, readonly number[]] => {
    const input = name ?? graph.inputs[i]?.name;
    if (input === undefined) throw new InvariantError('the data has more inputs than the model');
    return [input, sampleShape];
  });
  return { inputs: new Map(inputs), target: dataset.target.sampleShape };
}

/** The shapes of `samples` samples, as training graphs are asked for them. */
export function shapesOf({ inputs, target }: SampleShapes, samples: number) {
  return {
    shapes: Object.fromEntries([...inputs].map(([name, shape]) => [name, [samples, ...shape]])),
    targetShape: [samples, ...target],
  };
}
