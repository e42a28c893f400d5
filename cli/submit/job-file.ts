import { dirname } from 'node:path';
import { validateJobSpec, ValidationError, type JobSpec } from '../../protocol/index.js';
import { JobFileError } from '../errors.js';
import { applyOverride, type Override } from './overrides.js';
import { locate, readYaml } from './yaml-file.js';

/** A job file that fits the schema; its paths are still those written in it. */
export interface JobFile {
  /** As people know it: relative to where they are. */
  readonly file: string;
  /** What the paths in the file are relative to. */
  readonly folder: string;
  readonly spec: JobSpec;
  /** `FILE:LINE` of a field such as `data.train.path`, or just the file. */
  readonly where: (field: string) => string;
}

/**
 * Reads a job file, YAML or JSON, with the values of `--set` put over it.
 * @throws JobFileError naming file, line, what was found and what would be accepted
 */
export async function readJobFile(
  path: string,
  cwd: string,
  overrides: readonly Override[] = [],
): Promise<JobFile> {
  const { absolute, file, document, lines } = await readYaml(path, cwd, 'a job file (YAML or JSON)');
  const set = new Map(overrides.map((override) => [override.path.join('.'), `--set ${override.text}`]));
  const where = (field: string) => set.get(field) ?? locate(document, lines, file, field);
  const parsed: unknown = document.toJS();
  const value = overrides.reduce(applyOverride, parsed);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new JobFileError(
      `${file}: a job file is a map of keys such as name, model and data; see docs/job-file.md`,
      { file },
    );
  }
  return { file, folder: dirname(absolute), spec: validated(value, file, where), where };
}

function validated(value: unknown, file: string, where: (field: string) => string): JobSpec {
  try {
    return validateJobSpec(value, file);
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    const problems = error.fields.map(({ field, problem }) => `${where(field)}: ${problem}`);
    throw new JobFileError(
      problems.join('\n'),
      { file, problems: error.fields.map(({ field, problem }) => ({ field, at: where(field), problem })) },
      error,
    );
  }
}
