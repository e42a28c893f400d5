import { DataError } from '../errors.js';

/** A column of the file: its place in a row and the name that messages give it. */
export interface CsvColumn {
  readonly index: number;
  readonly label: string;
}

/** Where a cell stands, for messages. */
export interface CellPlace {
  readonly file: string;
  readonly line: number;
  readonly column: CsvColumn;
}

const NUMBER = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$/; // the blanks are those inside quotes
const LARGEST_FLOAT32 = (2 - 2 ** -23) * 2 ** 127;

/** The decimal number in a cell; undefined for anything else, NaN and infinities in words included. */
export function parseNumber(cell: string): number | undefined {
  return NUMBER.test(cell) ? Number(cell) : undefined;
}

/**
 * The number in a cell, within the range of float32.
 * @throws DataError `data_value`
 */
export function numberIn(cell: string, place: CellPlace, remedy: string): number {
  const value = parseNumber(cell);
  if (value !== undefined && Math.abs(value) <= LARGEST_FLOAT32) return value;
  const problem =
    cell === ''
      ? 'is empty'
      : value === undefined
        ? `is ${quote(cell)}, not a number`
        : `is ${cell}, too large for float32`;
  throw cellError(place, problem, remedy, cell, 'a finite number');
}

/**
 * The class id in a cell.
 * @param classes the names of the classes, when ids are given by name
 * @throws DataError `data_value`, `data_label`
 */
export function classIn(cell: string, place: CellPlace, classes: readonly string[] | undefined): number {
  if (classes) {
    const id = classes.indexOf(cell);
    if (id >= 0) return id;
    const known = classes.join(', ');
    throw new DataError(
      'data_label',
      `${at(place)} is ${quote(cell)}, which is not among the classes ${known}; add it to classes: or mend the cell`,
      { file: place.file, row: place.line, column: place.column.label, found: cell, accepted: known },
    );
  }
  const value = parseNumber(cell);
  if (value !== undefined && Number.isInteger(value) && Math.abs(value) < 2 ** 31) return value;
  const problem = cell.trim() === '' ? 'is empty' : `is ${quote(cell)}, not a class id`;
  const remedy =
    'class ids are whole numbers from 0; for classes with names list them in the order of their ids as classes:';
  throw cellError(place, problem, remedy, cell, 'a whole number');
}

/**
 * The text in a cell of a categorical column.
 * @throws DataError `data_value` an empty cell
 */
export function categoryIn(cell: string, place: CellPlace): string {
  if (cell !== '') return cell;
  throw cellError(place, 'is empty', 'fill it in (any word may stand for unknown)', cell, 'a category');
}

export function unknownCategory(cell: string, place: CellPlace, known: readonly string[]): DataError {
  return new DataError(
    'data_vocabulary',
    `${at(place)} is ${quote(cell)}, which the training rows do not have; they have ${known.join(', ')}`,
    {
      file: place.file,
      row: place.line,
      column: place.column.label,
      found: cell,
      accepted: known.join(', '),
    },
  );
}

function cellError(
  place: CellPlace,
  problem: string,
  remedy: string,
  found: string,
  accepted: string,
): DataError {
  return new DataError('data_value', `${at(place)} ${problem}; ${remedy}`, {
    file: place.file,
    row: place.line,
    column: place.column.label,
    found,
    accepted,
  });
}

function at(place: CellPlace): string {
  return `${place.file}: line ${place.line}, ${place.column.label}`;
}

function quote(cell: string): string {
  return JSON.stringify(cell.length > 40 ? `${cell.slice(0, 40)}…` : cell);
}
