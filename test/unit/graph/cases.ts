import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadModel, readSafetensors, type Model, type Tensor } from '../../../graph/index.js';
import { repositoryRoot } from '../../root.js';

/** A reference case made by PyTorch: the model and what it computed. */
export interface ReferenceCase {
  readonly model: Model;
  readonly inputs: ReadonlyMap<string, Tensor>;
  readonly parameters: readonly string[];
  readonly output: Tensor;
  readonly batch: number;
}

export async function referenceCase(name: string): Promise<ReferenceCase> {
  const folder = join(repositoryRoot, 'test/fixtures/models', name);
  const model = await loadModel(join(folder, 'model.onnx'));
  const described = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as {
    inputs: string[];
    parameters: string[];
  };
  const { tensors } = readSafetensors(readFileSync(join(folder, 'case.safetensors')));
  const inputs = new Map(described.inputs.map((input) => [input, tensors.get(input)!]));
  const [first] = inputs.values();
  return {
    model,
    inputs,
    parameters: described.parameters,
    output: tensors.get('output')!,
    batch: first!.shape[0]!,
  };
}
