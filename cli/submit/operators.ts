import { readFile, stat } from 'node:fs/promises';
import { extname, relative, resolve } from 'node:path';
import { isOperator, type KernelError, type CustomOperator, type Operator } from '../../graph/index.js';
import { ModelFileError } from '../errors.js';
import type { JobFile } from './job-file.js';
import { exportsOf } from './module.js';
import { reasonOf } from './yaml-file.js';

const MODULES: ReadonlySet<string> = new Set(['.ts', '.mts', '.js', '.mjs']);
const WANTED =
  'a module (.ts, .mts, .js, .mjs) that exports operators: what defineOperator returns, or a list of them';

/**
 * The operators that the job's own module defines. The module runs here, in the submitter's process.
 * @throws ModelFileError naming the field and its line
 */
export async function jobOperators(job: JobFile, cwd: string): Promise<readonly CustomOperator[]> {
  const { operators } = job.spec;
  if (operators === undefined) return [];
  const path = resolve(job.folder, operators);
  const label = relative(cwd, path) || path;
  return moduleOperators(path, (problem, cause) => {
    const at = job.where('operators');
    return new ModelFileError(
      `${at}: operators: ${label}: ${problem}`,
      { file: label, field: 'operators', at },
      cause,
    );
  });
}

/**
 * The operators that a module exports.
 * @param refuse makes the error for what is wrong with it
 */
export async function moduleOperators(
  path: string,
  refuse: (problem: string, cause?: unknown) => ModelFileError,
): Promise<readonly CustomOperator[]> {
  if (!MODULES.has(extname(path))) throw refuse(`expected ${WANTED}`);
  await stat(path).catch((error: unknown) => {
    throw refuse(reasonOf(error, WANTED), error);
  });
  let exported: Readonly<Record<string, unknown>>;
  try {
    exported = await exportsOf(path);
  } catch (error) {
    throw refuse(await moduleFault(path, error), error);
  }
  const found = new Set(Object.values(exported).flatMap(operatorsIn));
  if (found.size === 0) throw refuse(`it exports no operator; expected ${WANTED}`);
  return [...found].map(({ operator }) => operator);
}

function operatorsIn(value: unknown): readonly Operator[] {
  if (isOperator(value)) return [value];
  if (Array.isArray(value)) return value.filter(isOperator);
  const isMap = typeof value === 'object' && value !== null;
  return isMap ? Object.values(value).filter(isOperator) : [];
}

/** Why a user's module does not run, with the line of the module where it says which. */
export async function moduleFault(path: string, error: unknown): Promise<string> {
  const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined };
  if (isKernelError(error)) {
    const line = await lineOf(path, error);
    return `${line === undefined ? '' : `line ${line}: `}${message}`;
  }
  const place = stack
    ?.split('\n')
    .find((each) => each.includes(path))
    ?.trim();
  return `the module does not run: ${message}${place === undefined ? '' : ` (${place})`}`;
}

/** Modules have a copy of the model API of their own, whose errors are of other classes. */
function isKernelError(error: unknown): error is KernelError {
  return error instanceof Error && 'kernel' in error && 'code' in error && error.code === 'bad_operator';
}

/** Characters of a kernel by which its line is found in the file, at most and at least. */
const SNIPPET = 60;
const SHORTEST = 6;

/**
 * The line of a module on which a kernel says what it cannot: loaders write functions in one line, so the text is
 * looked for without its spaces. Undefined where it is not found, or in several places.
 */
async function lineOf(path: string, { source, at }: KernelError): Promise<number | undefined> {
  const lines = (await readFile(path, 'utf8').catch(() => '')).split('\n');
  const offset =
    source
      .split('\n')
      .slice(0, at.line - 1)
      .join('\n').length +
    (at.line > 1 ? 1 : 0) +
    at.column -
    1;
  const wanted = withoutSpaces(source.slice(offset));
  const packed = lines.map(withoutSpaces);
  const text = packed.join('');
  for (let length = Math.min(SNIPPET, wanted.length); length >= SHORTEST; length--) {
    const snippet = wanted.slice(0, length);
    const place = text.indexOf(snippet);
    if (place < 0) continue;
    if (text.includes(snippet, place + 1)) return undefined;
    let before = 0;
    return packed.findIndex((each) => (before += each.length) > place) + 1;
  }
  return undefined;
}

function withoutSpaces(text: string): string {
  return text.replace(/\s+/g, '');
}
