import { readFile, writeFile } from 'node:fs/promises';
import { readModel, readSafetensors, withParameters } from '../../graph/index.js';

/**
 * The submitted model with trained weights in it: same names of inputs and outputs.
 * @throws ModelError, WeightsError; an InvariantError where the weights are not this model's
 */
export async function exportModel(paths: {
  readonly model: string;
  readonly weights: string;
  readonly to: string;
}): Promise<void> {
  const model = readModel(await readFile(paths.model), { source: 'model' });
  const { tensors } = readSafetensors(await readFile(paths.weights), 'the trained weights');
  await writeFile(paths.to, withParameters(model, tensors), { flush: true });
}
