import { filesOf } from '../../data/index.js';
import { weightsPlace, weightsRules } from '../../protocol/index.js';
import type { JobFile } from './job-file.js';

/** Codes of what is wrong within a model: their messages begin with a node, not with a field. */
const OF_THE_MODEL = new Set([
  'bad_model',
  'bad_operator',
  'unsupported_operator',
  'bad_shape',
  'bad_input_shape',
  'bad_loss',
]);

/**
 * A message of the coordinator in the submitter's terms. It knows fields and content hashes only; who submits knows
 * files and lines: `data.train.target: row 40 ...` becomes
 * `job.yaml:7: data.train.target: labels.npy: row 40 ...`, and what is wrong with a node is said of the model's file.
 * @param code the error's
 */
export function inLocalTerms(message: string, job: JobFile, code?: string): string {
  const [, field, rest] = /^([a-z]\w*(?:\.\w+|\[\d+\])*): (.*)$/is.exec(message) ?? [];
  if (field === undefined || rest === undefined)
    return code !== undefined && OF_THE_MODEL.has(code) ? inLocalTerms(`model: ${message}`, job) : message;
  const dotted = field.replace(/\[(\d+)\]/g, '.$1');
  const place = job.where(dotted);
  const file = fileOf(dotted, job);
  if (place === job.file && file === undefined) return message; // not a field of the job file
  return [place, field, ...(file === undefined ? [] : [file]), rest].join(': ');
}

function fileOf(field: string, { spec }: JobFile): string | undefined {
  if (field === 'model') return spec.model;
  if (spec.weights !== undefined && field === weightsPlace(spec.weights))
    return weightsRules(spec.weights).file;
  for (const [name, dataset] of Object.entries(spec.data)) {
    for (const each of filesOf(dataset)) {
      if (field === `data.${name}.${each.field.replace(/\[(\d+)\]/g, '.$1')}`) return each.file;
    }
  }
  return undefined;
}
