import { DataError } from '../errors.js';
import type { ColumnRef, CsvSpec } from '../schema.js';
import { parseNumber, type CsvColumn } from './csv-cell.js';
import type { CsvRow } from './csv-rows.js';

/** Which columns of a csv file play which part. */
export interface CsvColumns {
  readonly hasHeader: boolean;
  /** Cells in every row. */
  readonly width: number;
  /** In the order of the features; the textual ones are also in `categorical`. */
  readonly features: readonly CsvColumn[];
  readonly categorical: ReadonlySet<number>;
  readonly target: readonly CsvColumn[];
}

/**
 * Resolves the columns that the entry names against the first row of the file.
 * @throws DataError `data_name` no such column, `data_spec` a contradiction
 */
export function resolveColumns(file: string, spec: CsvSpec, first: CsvRow): CsvColumns {
  const width = first.cells.length;
  const hasHeader = spec.header === true || (spec.header !== false && looksLikeHeader(first.cells));
  const header = hasHeader ? first.cells : undefined;
  const resolve = (field: string) => (ref: ColumnRef) => resolveColumn(file, spec, field, ref, first, header);
  const target = (Array.isArray(spec.target) ? spec.target : [spec.target]).map(resolve('target'));
  const targets = new Set(target.map((column) => column.index));
  const all = Array.from({ length: width }, (_, index) => index).filter((index) => !targets.has(index));
  const features = spec.columns?.map(resolve('columns')) ?? all.map((index) => columnAt(index, header));
  const leak = features.find((column) => targets.has(column.index));
  if (leak) {
    throw new DataError('data_spec', `${file}: ${leak.label} is the target and cannot be a feature as well`, {
      file,
      column: leak.label,
    });
  }
  if (features.length === 0) {
    const hint = spec.delimiter === undefined ? delimiterHint(first.cells[0] ?? '') : '';
    throw new DataError('data_spec', `${file}: no column is left for the features${hint}`, {
      file,
      found: width,
    });
  }
  const categorical = new Set(
    (spec.categories ?? []).map(resolve('categories')).map((column) => column.index),
  );
  for (const index of categorical) {
    if (features.some((column) => column.index === index)) continue;
    const { label } = columnAt(index, header);
    throw new DataError('data_spec', `${file}: ${label} is in categories:, but is not a feature`, {
      file,
      column: label,
    });
  }
  return { hasHeader, width, features, categorical, target };
}

function looksLikeHeader(cells: readonly string[]): boolean {
  return cells.every((cell) => parseNumber(cell) === undefined);
}

function columnAt(index: number, header: readonly string[] | undefined): CsvColumn {
  return { index, label: header ? `column "${header[index]!}"` : `column ${index} (from 0)` };
}

function resolveColumn(
  file: string,
  spec: CsvSpec,
  field: string,
  ref: ColumnRef,
  first: CsvRow,
  header: readonly string[] | undefined,
): CsvColumn {
  const width = first.cells.length;
  const hint = width === 1 && spec.delimiter === undefined ? delimiterHint(first.cells[0]!) : '';
  if (typeof ref === 'number') {
    const index = ref < 0 ? width + ref : ref;
    if (index >= 0 && index < width) return columnAt(index, header);
    throw new DataError(
      'data_name',
      `${file}: ${field}: there is no column ${ref}; the file has ${width} columns, 0 to ${width - 1}${hint}`,
      { file, found: ref, accepted: width },
    );
  }
  if (!header) {
    throw new DataError(
      'data_name',
      `${file}: ${field}: "${ref}" names a column, but the first line has numbers and is not taken as a header; ` +
        `give the column's index, or set header: true${hint}`,
      { file, found: ref },
    );
  }
  const index = header.indexOf(ref);
  if (index >= 0 && header.indexOf(ref, index + 1) < 0) return columnAt(index, header);
  const problem = index < 0 ? 'there is no' : 'there is more than one';
  throw new DataError(
    'data_name',
    `${file}: ${field}: ${problem} column "${ref}"; the header has ${header.join(', ')}${hint}`,
    {
      file,
      found: ref,
      accepted: header.join(', '),
    },
  );
}

/** The likely mistake behind a file of one column. */
function delimiterHint(cell: string): string {
  const found = [';', '\t', '|'].find((delimiter) => cell.includes(delimiter));
  return found === undefined
    ? ''
    : `; its lines have ${JSON.stringify(found)}: set delimiter: ${JSON.stringify(found)}`;
}
