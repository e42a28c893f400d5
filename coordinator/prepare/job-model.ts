import {
  readModel,
  setBatchNormalization,
  setLossOutput,
  standardOperators,
  UnsupportedOperatorError,
  unsupportedOperators,
  type Graph,
  type Model,
  type UnsupportedOperator,
} from '../../graph/index.js';
import { frozenParameters, type JobSpec } from '../../protocol/index.js';

/** A job's model, as the job has it trained. */
export interface JobModel {
  readonly model: Model;
  /** With the output that the loss compares, and BatchNormalization in the job's mode. */
  readonly graph: Graph;
  /** Parameters that are not frozen. */
  readonly trained: readonly string[];
}

/** @throws ModelError, ParameterNameError */
export function readJobModel(job: JobSpec, bytes: Uint8Array): JobModel {
  const model = readModel(bytes, { source: 'model' });
  const seen = setLossOutput(model.graph, job.lossOutput);
  const graph = setBatchNormalization(seen, job.batchNormalization ?? 'exported');
  const names = [...graph.parameters.keys()];
  const frozen = frozenParameters(job.frozen ?? [], names);
  return { model, graph, trained: names.filter((name) => !frozen.has(name)) };
}

/** @throws UnsupportedOperatorError naming every node between what is trained and the loss that has no gradient */
export function refuseUnsupported(graph: Graph, trained: readonly string[]): void {
  const parameters = new Map(trained.map((name) => [name, graph.parameters.get(name)!]));
  const missing = unsupportedOperators({ ...graph, parameters });
  if (missing.length > 0) throw refusalOf(missing);
}

/** Operators that nobody knows are said to be unknown: freezing what is before them would not help. */
function refusalOf(missing: readonly UnsupportedOperator[]): UnsupportedOperatorError {
  const known = new Set(
    standardOperators
      .all()
      .map(({ operator, domain }) => (domain === '' ? operator : `${domain}.${operator}`)),
  );
  const unknown = missing.filter(({ operator }) => !known.has(operator));
  return unknown.length > 0
    ? new UnsupportedOperatorError(unknown, 'definition')
    : new UnsupportedOperatorError(missing, 'gradient rule');
}
