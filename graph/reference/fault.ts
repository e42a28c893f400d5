import { fromReference, toReference } from './value.js';
import { isFloat } from '../ir/tensor.js';
import type { Reference } from '../operators/definition.js';
import type { NamedValue, Step } from './step.js';

/** Where a NaN or an infinity came from nothing of the kind. */
export interface Fault {
  readonly kind: 'nan' | 'infinity';
  /** The value that has it. */
  readonly value: string;
  /** How many of its elements. */
  readonly count: number;
  /** Row-major index of the first of them. */
  readonly at: number;
}

/**
 * What went wrong at a node: it made NaN and was given none, or made infinities and was given none. An infinity that
 * is handed on is no fault (the -Infinity of an attention mask is meant), a NaN that is made of infinities is one.
 */
export function faultOf({ inputs, outputs }: Pick<Step, 'inputs' | 'outputs'>): Fault | undefined {
  const outset = (bad: (x: number) => boolean) => inputs.every(({ value }) => !value.data.some(bad));
  for (const { kind, bad } of KINDS) {
    for (const each of outputs) {
      const fault = firstOf(each, kind, bad);
      if (fault && outset(bad)) return fault;
    }
  }
  return undefined;
}

/** What is wrong with a value that was not computed: an input or a parameter. */
export function faultIn(given: NamedValue): Fault | undefined {
  for (const { kind, bad } of KINDS) {
    const fault = firstOf(given, kind, bad);
    if (fault) return fault;
  }
  return undefined;
}

const KINDS = [
  { kind: 'nan', bad: Number.isNaN },
  { kind: 'infinity', bad: (x: number) => x === Infinity || x === -Infinity },
] as const;

function firstOf(
  { name, value }: NamedValue,
  kind: Fault['kind'],
  bad: (x: number) => boolean,
): Fault | undefined {
  const at = value.data.findIndex(bad);
  if (at < 0) return undefined;
  return { kind, value: name, count: value.data.filter(bad).length, at };
}

/**
 * A result as a device keeps it: a float rounded to its element type, so that what overflows or vanishes there does
 * here. What is no float is exact as it is.
 */
export function asStored(value: Reference): Reference {
  if (!isFloat(value.dtype) || value.dtype === 'float64') return value;
  return toReference(fromReference(value));
}
