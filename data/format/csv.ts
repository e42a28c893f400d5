import { InvariantError } from '../../base/index.js';
import type { Dataset } from '../dataset.js';
import { DataError } from '../errors.js';
import { fitOrRefuse } from '../fit.js';
import type { OpenRequest } from '../request.js';
import type { CsvSpec } from '../schema.js';
import { affineOf } from '../storage/affine.js';
import { wishedType } from '../storage/arrays.js';
import { Column } from '../storage/column.js';
import type { LocalFile } from '../storage/open.js';
import { MemorySource } from '../storage/source.js';
import { rowRange, StoredDataset, type BoundColumn } from '../storage/stored.js';
import { categoryIn, classIn, numberIn, type CsvColumn } from './csv-cell.js';
import { resolveColumns, type CsvColumns } from './csv-columns.js';
import { encodeFeatures, standardize, type FeatureTable } from './csv-features.js';
import { csvRows, type CsvRow } from './csv-rows.js';
import { GrowingNumbers } from './growing.js';

/** The rows of a csv file as numbers, before categories are encoded and features normalized. */
interface CsvTable extends FeatureTable {
  readonly target: Float64Array;
  /** Data rows read, from the start of the file. */
  readonly rowsSeen: number;
}

/**
 * Opens a csv file. Features are float32; the target is float32, or int64 class ids for cross_entropy. Every cell that
 * is used is checked here, so that `checkDataset` has only the range of the class ids left to see.
 *
 * Memory: 4 bytes for each feature and target of the rows taken, 4 for each row's line number; while it opens, some
 * 12 bytes for each number more.
 * @throws DataError naming line and column
 */
export async function openCsv(spec: CsvSpec, request: OpenRequest): Promise<Dataset> {
  const file = request.file(spec.path);
  if (spec.categories && spec.normalize !== undefined && spec.normalize !== 'standard') {
    throw new DataError('data_spec', `${file.name}: with categories: only normalize: standard can be used`, {
      file: file.name,
    });
  }
  const { columns, table } = await readTable(file, spec, request);
  const [first, end] = rowRange(file.name, spec.rows, table.rowsSeen);
  const length = end - first;

  const encoded = encodeFeatures(file.name, table, columns, request.context);
  const width = encoded.labels.length;
  let { context } = encoded;
  if (spec.normalize === 'standard') {
    const statistics = standardize(file.name, encoded, length, request.context.statistics);
    context = { ...context, statistics };
  } else {
    const affine = affineOf(file.name, [width], 1, spec.normalize);
    for (let row = 0; affine && row < length; row++) {
      affine.apply(encoded.values.subarray(row * width, (row + 1) * width), width);
    }
  }
  const features = floatSource(file.name, encoded.values);
  const target = targetColumn(file.name, spec, table.target, length, request);
  const { lines } = table;
  return new StoredDataset({
    inputs: [bindFeatures(features, width, length, request)],
    target,
    sources: [features, target.column.layout.source],
    rows: [0, length],
    ...(spec.classes ? { classes: spec.classes.length } : {}),
    context,
    otherBytes: lines.byteLength,
    place: (row, tensor, element) => {
      const columnLabel = tensor === 'target' ? columns.target[element]!.label : encoded.labels[element]!;
      return {
        file: file.name,
        rowLabel: `line ${lines[row]!}`,
        row: lines[row]!,
        columnLabel,
        column: columnLabel,
      };
    },
  });
}

async function readTable(
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

function floatSource(name: string, values: Float64Array): MemorySource {
  return new MemorySource(name, new Uint8Array(Float32Array.from(values).buffer));
}

function bindFeatures(
  source: MemorySource,
  width: number,
  length: number,
  request: OpenRequest,
): BoundColumn {
  const { name } = source;
  const [wish, ...others] = request.inputs ?? [];
  if (others.length > 0) {
    const takes = request.inputs!.map((input) => input.name).join(', ');
    throw new DataError('data_name', `${name}: csv feeds a model of one input, this one takes ${takes}`, {
      found: takes,
    });
  }
  const dtype = wish ? wishedType(wish) : 'float32';
  if (dtype !== 'float32' && dtype !== 'float64') {
    throw new DataError('data_type', `${name}: csv features are float32, but the model's input is ${dtype}`, {
      file: name,
      found: 'float32',
      accepted: dtype,
    });
  }
  const layout = {
    source,
    kind: 'f4',
    littleEndian: true,
    firstByte: 0,
    strideBytes: 4 * width,
    length,
    dtype,
  } as const;
  const column = new Column({ ...layout, sampleShape: [width] });
  if (!wish) return { column, sampleShape: [width] };
  const remedy = 'choose the feature columns with columns:';
  return {
    name: wish.name,
    column,
    sampleShape: fitOrRefuse('features', name, [width], wish.shape.slice(1), remedy),
  };
}

function targetColumn(
  file: string,
  spec: CsvSpec,
  values: Float64Array,
  length: number,
  request: OpenRequest,
): BoundColumn {
  const { kind, shape } = request.target;
  const sample = Array.isArray(spec.target) ? [spec.target.length] : [];
  const sampleShape = shape
    ? fitOrRefuse(
        'the target',
        file,
        sample,
        shape.slice(1),
        "name as many target columns as the model's output has numbers",
      )
    : sample;
  const layout = { littleEndian: true, firstByte: 0, length, sampleShape: sample } as const;
  const strideBytes = 4 * (sample[0] ?? 1);
  if (kind === 'classes') {
    const source = new MemorySource(file, new Uint8Array(Int32Array.from(values).buffer));
    return {
      column: new Column({ ...layout, source, kind: 'i4', strideBytes, dtype: 'int64' }),
      sampleShape,
    };
  }
  const source = floatSource(file, values);
  return {
    column: new Column({ ...layout, source, kind: 'f4', strideBytes, dtype: 'float32' }),
    sampleShape,
  };
}
