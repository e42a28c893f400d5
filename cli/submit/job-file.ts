import { readFile } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import { isNode, LineCounter, parseDocument, type Document } from 'yaml';
import { validateJobSpec, ValidationError, type JobSpec } from '../../protocol/index.js';
import { JobFileError } from '../errors.js';
import { applyOverride, type Override } from './overrides.js';

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
  const absolute = resolve(cwd, path);
  const file = shorter(path, relative(cwd, absolute));
  const text = await readText(absolute, file);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const mistake = document.errors[0];
  if (mistake) {
    const { line, col } = lines.linePos(mistake.pos[0]);
    throw new JobFileError(
      `${file}:${line}:${col}: this is not YAML: ${mistake.message}`,
      { file, line, column: col },
      mistake,
    );
  }
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

/** The line of a field, or of the nearest thing around it that has one. */
function locate(document: Document, lines: LineCounter, file: string, field: string): string {
  const path = field === '' ? [] : field.split('.');
  for (let depth = path.length; depth > 0; depth--) {
    const parent: unknown = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true);
    const offset = keyOffset(parent, path[depth - 1]!);
    if (offset !== undefined) return `${file}:${lines.linePos(offset).line}`;
  }
  return file;
}

function keyOffset(parent: unknown, key: string): number | undefined {
  if (typeof parent !== 'object' || parent === null || !('items' in parent)) return undefined;
  const items = parent.items as readonly unknown[];
  for (const [index, item] of items.entries()) {
    if (isNode(item)) {
      if (String(index) === key) return item.range?.[0];
    } else if (typeof item === 'object' && item !== null && 'key' in item) {
      const name = item.key;
      if (isNode(name) && String(name.toJSON()) === key) return name.range?.[0];
    }
  }
  return undefined;
}

async function readText(absolute: string, file: string): Promise<string> {
  try {
    return await readFile(absolute, 'utf8');
  } catch (error) {
    throw new JobFileError(`${file}: ${reasonOf(error, 'a job file (YAML or JSON)')}`, { file }, error);
  }
}

/** Why a file cannot be read, in words. */
export function reasonOf(error: unknown, wanted: string): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'ENOENT') return `there is no such file; expected ${wanted}`;
  if (code === 'EISDIR') return `this is a folder; expected ${wanted}`;
  if (code === 'EACCES') return 'the file may not be read by this user';
  return error instanceof Error ? error.message : String(error);
}

function shorter(a: string, b: string): string {
  return b !== '' && b.length < a.length ? b : a;
}
