import { UserError } from '../../base/index.js';

/** A place in a kernel's text, both from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** The definition of a user's operator cannot be used, or its gradient is wrong. */
export class OperatorError extends UserError {
  constructor(operator: string, message: string, ids: Readonly<Record<string, unknown>> = {}) {
    super('bad_operator', `operator ${operator}: ${message}`, { ids: { operator, ...ids } });
  }
}

/** A kernel says something that is not in the language of kernels. */
export class KernelError extends OperatorError {
  constructor(
    operator: string,
    /** Which of the operator's kernels: `forward`, `gradient of x`. */
    readonly kernel: string,
    readonly at: Position,
    /** What is wrong, without the place. */
    readonly reason: string,
    /** The kernel's text. */
    readonly source: string,
  ) {
    const { line, column } = at;
    super(operator, `${kernel}, line ${line}, column ${column}: ${reason}\n${excerpt(source, at)}`, {
      kernel,
      line,
      column,
    });
  }
}

/** More of a line than this is not shown on either side: loaders write a whole function into one. */
const WIDEST_SIDE = 60;

/** The line with a mark below the column. */
export function excerpt(source: string, { line, column }: Position): string {
  const text = (source.split('\n')[line - 1] ?? '').replaceAll('\t', ' ');
  const from = Math.max(0, column - 1 - WIDEST_SIDE);
  const shown = text.slice(from, column - 1 + WIDEST_SIDE);
  return `    ${shown.trimEnd()}\n    ${' '.repeat(column - 1 - from)}^`;
}
