import type { Static, TSchema } from '@sinclair/typebox';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import { editDistance, UserError } from '../base/index.js';

const ajv = new Ajv({ allErrors: true, verbose: true, discriminator: false, strict: false });

/** Something from outside does not fit its schema. */
export class ValidationError extends UserError {
  readonly problems: readonly string[];

  constructor(
    what: string,
    /** Each field that does not fit, with dots for what is inside, and what is wrong with it. */
    readonly fields: readonly FieldProblem[],
  ) {
    const problems = fields.map(({ problem }) => problem);
    super('bad_input', `${what}: ${problems.join('; ')}`, { ids: { problems } });
    this.problems = problems;
  }
}

export interface FieldProblem {
  readonly field: string;
  readonly problem: string;
}

/**
 * A checker made from one schema.
 * @returns a function that returns the value, typed, or throws a ValidationError that lists every field
 *   that does not fit: what was found, what would be accepted, and the key that an unknown one resembles
 */
export function validatorOf<S extends TSchema>(schema: S): (value: unknown, what: string) => Static<S> {
  let compiled: ValidateFunction<Static<S>> | undefined;
  return (value, what) => {
    const check = (compiled ??= ajv.compile<Static<S>>(schema)); // when first needed: it takes a tenth of a second
    if (check(value)) return value;
    throw new ValidationError(what, describe(ofItsKind(check.errors ?? [])));
  };
}

/**
 * Of a union whose branches are told apart by a constant (`kind: sgd`), only what the branches of the value's own
 * kind say: the others would ask for another kind.
 */
function ofItsKind(errors: readonly ErrorObject[]): readonly ErrorObject[] {
  const foreign = new Map<string, Set<string>>();
  for (const { keyword, schemaPath, instancePath } of errors) {
    const [, union, branch] =
      /^(.*\/anyOf)\/(\d+)\/properties\/\w+\/(?:anyOf\/\d+\/)?const$/.exec(schemaPath) ?? [];
    if (keyword !== 'const' || union === undefined || branch === undefined) continue;
    const key = `${union} ${instancePath.slice(0, instancePath.lastIndexOf('/'))}`;
    foreign.set(key, (foreign.get(key) ?? new Set()).add(branch));
  }
  return errors.reduce((left, { keyword, schemaPath, instancePath, schema }) => {
    const others = keyword === 'anyOf' ? foreign.get(`${schemaPath} ${instancePath}`) : undefined;
    if (!others || others.size === (schema as readonly unknown[]).length) return left;
    const beginnings = [...others].map((branch) => `${schemaPath}/${branch}/`);
    return left.filter(
      (error) =>
        !error.instancePath.startsWith(instancePath) ||
        !beginnings.some((beginning) => error.schemaPath.startsWith(beginning)),
    );
  }, errors);
}

function describe(errors: readonly ErrorObject[]): FieldProblem[] {
  const fields = new Map<string, ErrorObject[]>();
  for (const error of errors) {
    const key =
      error.keyword === 'additionalProperties' ? join(error.instancePath, extra(error)) : error.instancePath;
    fields.set(key, [...(fields.get(key) ?? []), error]);
  }
  // a field that fails inside a union fails once per branch; deeper fields explain better than the union
  const paths = [...fields.keys()].filter(
    (path) =>
      ![...fields.keys()].some((other) => other !== path && other.startsWith(`${path}/`) && path !== ''),
  );
  const shown = paths.filter((path) => path !== '' || paths.length === 1);
  return shown.map((path) => ({ field: dotted(path), problem: sentence(path, fields.get(path)!) }));
}

function sentence(path: string, errors: readonly ErrorObject[]): string {
  const field = path === '' ? 'the document' : dotted(path);
  const unknown = errors.find((error) => error.keyword === 'additionalProperties');
  // a key that some branch of a union knows is unknown only to the others
  if (unknown && errors.every((error) => error.keyword === 'additionalProperties')) {
    const known = [
      ...new Set(
        errors.flatMap((error) => Object.keys((error.parentSchema?.['properties'] ?? {}) as object)),
      ),
    ];
    const near = nearest(extra(unknown), known);
    return `unknown key "${field}"${near ? `, did you mean "${near}"?` : ''} (known: ${known.join(', ')})`;
  }
  const found = errors[0]!.data === undefined ? 'nothing' : JSON.stringify(errors[0]!.data);
  const accepted = [...new Set(errors.map(expectation))].filter((text) => text !== '');
  const description = (errors.at(-1)!.parentSchema as { description?: string } | undefined)?.description;
  const want = accepted.length > 0 ? accepted.join(' or ') : (description ?? 'another value');
  return `${field}: found ${found.length > 80 ? `${found.slice(0, 77)}...` : found}, expected ${want}`;
}

function expectation(error: ErrorObject): string {
  const params = error.params as Record<string, unknown>;
  switch (error.keyword) {
    case 'required':
      return `a "${String(params['missingProperty'])}"`;
    case 'type':
      return `${/^[aeio]/.test(String(params['type'])) ? 'an' : 'a'} ${String(params['type'])}`;
    case 'const':
      return JSON.stringify(params['allowedValue']);
    case 'enum':
      return (params['allowedValues'] as unknown[]).map((value) => JSON.stringify(value)).join(' or ');
    case 'minimum':
    case 'maximum':
    case 'exclusiveMinimum':
    case 'exclusiveMaximum':
      return `a number ${String(params['comparison'])} ${String(params['limit'])}`;
    case 'anyOf':
    case 'additionalProperties':
    case 'minProperties': // the schema's description says which
      return '';
    default:
      return error.message ?? '';
  }
}

function dotted(path: string): string {
  return path.slice(1).replaceAll('/', '.');
}

function extra(error: ErrorObject): string {
  return String((error.params as Record<string, unknown>)['additionalProperty']);
}

function join(path: string, key: string): string {
  return `${path}/${key}`;
}

/** The known key within two edits, if any. */
export function nearest(text: string, known: readonly string[]): string | undefined {
  const scored = known
    .map((candidate) => ({ candidate, distance: editDistance(text.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  const best = scored[0];
  return best && best.distance <= Math.max(2, Math.floor(text.length / 3)) ? best.candidate : undefined;
}
