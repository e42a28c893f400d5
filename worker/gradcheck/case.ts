import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { Type, type Static } from '@sinclair/typebox';
import {
  formatType,
  LOSS_KINDS,
  loadModel,
  type CustomOperator,
  runningStatistics,
  sameShape,
  type Graph,
  type Tensor,
} from '../../graph/index.js';
import { readSafetensors } from '../../graph/weights/index.js';
import { OptimizerSchema, validatorOf } from '../../protocol/index.js';
import { CaseError } from './errors.js';

const names = (description: string) => Type.Array(Type.String(), { description });

/** `case.json`. Keys beyond these are notes of whoever made the case. */
const CaseSchema = Type.Object({
  loss: Type.Union(LOSS_KINDS.map((kind) => Type.Literal(kind))),
  inputs: names('names of the data inputs'),
  target: Type.String({ description: "the target's key in case.safetensors" }),
  parameters: names('names of the parameters to differentiate by'),
  parametersMissingInOnnx: Type.Optional(names('parameters that the exporter renamed or folded away')),
  optimizer: OptimizerSchema,
  lossAtStep: Type.Array(Type.Number(), { minItems: 1, description: 'the loss before each optimizer step' }),
});
const validate = validatorOf(CaseSchema);

/** A model with what another framework computed for it. */
export interface GradcheckCase extends Static<typeof CaseSchema> {
  /** The folder's name. */
  readonly name: string;
  readonly model: Graph;
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** The parameters that the model has, of those the case names. */
  readonly checked: readonly string[];
  /** The running statistics that the model has, of those for which the case has an `after.NAME`. */
  readonly statistics: readonly string[];
}

/**
 * Reads a case: `model.onnx`, `case.json` and `case.safetensors`.
 * @param operators that the model uses of other domains, beside those in its metadata
 * @throws CaseError, ModelError, WeightsError or ValidationError naming the file and what is wrong in it
 */
export async function loadCase(
  folder: string,
  operators: readonly CustomOperator[] = [],
): Promise<GradcheckCase> {
  const description = await parse(join(folder, 'case.json'));
  const weights = join(folder, 'case.safetensors');
  const { tensors } = readSafetensors(await read(weights), weights);
  const path = join(folder, 'model.onnx');
  const missing = new Set(description.parametersMissingInOnnx ?? []);
  const checked = description.parameters.filter((name) => !missing.has(name));
  const trainable = (name: string) => checked.includes(name);
  const { graph: model } = await loadModel(path, { trainable, operators });
  for (const key of [...description.inputs, description.target, 'output', 'loss'])
    tensorOf(tensors, key, weights);
  for (const name of checked) {
    const parameter = model.parameters.get(name);
    if (!parameter) throw new CaseError(`case.json names parameter "${name}", which ${path} does not have`);
    for (const key of [`grad.${name}`, `after.${name}`])
      checkType(weights, key, tensorOf(tensors, key, weights), parameter);
  }
  const running = [...runningStatistics(model)].filter(([name]) => tensors.has(`after.${name}`));
  for (const [name, value] of running)
    checkType(weights, `after.${name}`, tensors.get(`after.${name}`)!, value);
  const statistics = running.map(([name]) => name);
  return { ...description, name: basename(resolve(folder)), model, tensors, checked, statistics };
}

function checkType(file: string, key: string, found: Tensor, wanted: Tensor): void {
  if (found.dtype === wanted.dtype && sameShape(found.shape, wanted.shape)) return;
  throw new CaseError(`${file}: "${key}" is ${formatType(found)}, the model's is ${formatType(wanted)}`);
}

function tensorOf(tensors: ReadonlyMap<string, Tensor>, key: string, file: string): Tensor {
  const found = tensors.get(key);
  if (!found) throw new CaseError(`${file} has no "${key}"; the case needs it`);
  return found;
}

async function parse(file: string): Promise<Static<typeof CaseSchema>> {
  const bytes = await read(file);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new CaseError(`${file} is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
  return validate(value, file);
}

async function read(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new CaseError(
      `${file} cannot be read (${cause instanceof Error ? cause.message : String(cause)}); a case is a folder with ` +
        'model.onnx, case.json and case.safetensors',
      { cause, ids: { file } },
    );
  }
}
