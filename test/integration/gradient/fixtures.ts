import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  loadModel,
  toReference,
  type Graph,
  type LossKind,
  type Reference,
  type Tensor,
} from '../../../graph/index.js';
import { readSafetensors } from '../../../graph/weights/index.js';
import { repositoryRoot } from '../../root.js';

/** A gradcheck case that PyTorch made. */
export interface Fixture {
  readonly name: string;
  readonly graph: Graph;
  readonly loss: LossKind;
  readonly inputs: readonly string[];
  readonly parameters: readonly string[];
  readonly tensors: ReadonlyMap<string, Tensor>;
}

export async function loadFixture(name: string): Promise<Fixture> {
  const folder = join(repositoryRoot, 'test/fixtures/models', name);
  const json = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as {
    loss: LossKind;
    inputs: string[];
    parameters: string[];
    parametersMissingInOnnx?: string[];
  };
  const missing = new Set(json.parametersMissingInOnnx);
  const parameters = json.parameters.filter((parameter) => !missing.has(parameter));
  const { graph } = await loadModel(join(folder, 'model.onnx'), {
    trainable: (parameter) => parameters.includes(parameter),
  });
  const { tensors } = readSafetensors(readFileSync(join(folder, 'case.safetensors')));
  return { ...json, name, graph, parameters, tensors };
}

/** Values of the data inputs, the target and the parameters of a fixture. */
export function valuesOf({ graph, inputs, tensors }: Fixture, target: string): Map<string, Reference> {
  const values = new Map<string, Reference>();
  for (const input of inputs) values.set(input, toReference(tensors.get(input)!));
  values.set(target, toReference(tensors.get('target')!));
  for (const [name, tensor] of graph.parameters) values.set(name, toReference(tensor));
  return values;
}

/** ||a - b|| / (||b|| + 1e-8) */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return Math.sqrt(difference) / (Math.sqrt(size) + 1e-8);
}
