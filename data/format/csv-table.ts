import { InvariantError } from '../../base/index.js';
import { DataError } from '../errors.js';
import type { OpenRequest } from '../request.js';
import type { CsvSpec } from '../schema.js';
import type { LocalFile } from '../storage/open.js';
import { categoryIn, classIn, numberIn, type CsvColumn } from './csv-cell.js';
import { resolveColumns, type CsvColumns } from './csv-columns.js';
import type { FeatureTable } from './csv-features.js';
import { csvRows, type CsvRow } from './csv-rows.js';
import { GrowingNumbers } from './growing.js';

/** The rows of a csv file as numbers, before categories are encoded and features normalized. */
export interface CsvTable extends FeatureTable {
  readonly target: Float64Array;
  /** Data rows read, from the start of the file. */
  readonly rowsSeen: number;
}

/**
 * Reads the rows that `rows` asks for, and checks every cell of them that is used.
 * @throws DataError with line and column
 */
export async function readTable(
  file: LocalFile,
  spec: CsvSpec,
  request: OpenRequest,
): Promise<{ columns: CsvColumns; table: CsvTable }> {
  const end = spec.rows?.[1] ?? Infinity;
  let columns: CsvColumns | undefined;
  let gathered: TableGatherer | undefined;
  for await (const row of csvRows(file, spec.delimiter, request.limits)) {
    if (!columns || !gathered) {
      columns = resolveColumns(file.name, spec, row);
      gathered = new TableGatherer(file, spec, columns, request);
      if (columns.hasHeader) continue;
    }
    gathered.take(row);
    if (gathered.rowsSeen >= end) break;
  }
  if (!columns || !gathered) throw new InvariantError(`${file.name}: csvRows gave no row and no error`);
  return { columns, table: gathered.table() };
}

/** Takes rows of text one after the other and keeps the numbers of those that `rows` asks for. */
class TableGatherer {
  rowsSeen = 0;
  private readonly features: GrowingNumbers;
  private readonly target: GrowingNumbers;
  private readonly lines: GrowingNumbers;
  private readonly words: ReadonlyMap<number, Map<string, number>>;
  private readonly byClass: boolean;

  constructor(
    private readonly file: LocalFile,
    private readonly spec: CsvSpec,
    private readonly columns: CsvColumns,
    request: OpenRequest,
  ) {
    const numbers = () => new GrowingNumbers(file.name, request.limits.memoryBytes);
    [this.features, this.target, this.lines] = [numbers(), numbers(), numbers()];
    this.words = new Map([...columns.categorical].map((index) => [index, new Map<string, number>()]));
    this.byClass = request.target.kind === 'classes' || spec.classes !== undefined;
  }

  /** @throws DataError `data_format`, `data_value`, `data_label` */
  take(row: CsvRow): void {
    if (this.rowsSeen++ < (this.spec.rows?.[0] ?? 0)) return;
    checkWidth(this.file.name, row, this.columns.width);
    const place = (column: CsvColumn) => ({ file: this.file.name, line: row.line, column });
    for (const column of this.columns.features) {
      const cell = row.cells[column.index]!;
      const known = this.words.get(column.index);
      if (known) this.features.push(idOf(categoryIn(cell, place(column)), known));
      else this.features.push(numberIn(cell, place(column), FEATURE_REMEDY));
    }
    for (const column of this.columns.target) {
      const cell = row.cells[column.index]!;
      const value = this.byClass
        ? classIn(cell, place(column), this.spec.classes)
        : numberIn(cell, place(column), TARGET_REMEDY);
      this.target.push(value);
    }
    this.lines.push(row.line);
  }

  table(): CsvTable {
    return {
      features: this.features.values,
      target: this.target.values,
      lines: Uint32Array.from(this.lines.values),
      words: new Map([...this.words].map(([index, ids]) => [index, [...ids.keys()]])),
      rowsSeen: this.rowsSeen,
    };
  }
}

const FEATURE_REMEDY =
  'mend the cell or leave the row out; leave a column of text out with columns:, or list it under categories:';
const TARGET_REMEDY = 'this loss compares with numbers; mend the cell or leave the row out';

/** Words are numbered as they come; `encodeFeatures` puts them in their final order. */
function idOf(word: string, known: Map<string, number>): number {
  const id = known.get(word) ?? known.size;
  known.set(word, id);
  return id;
}

function checkWidth(file: string, row: CsvRow, width: number): void {
  if (row.cells.length === width) return;
  throw new DataError(
    'data_format',
    `${file}: line ${row.line} has ${row.cells.length} cells, the first line has ${width}; quote a cell that has a delimiter in it`,
    { file, row: row.line, found: row.cells.length, accepted: width },
  );
}
