import type { DataContext } from '../dataset.js';
import { DataError } from '../errors.js';
import { unknownCategory } from './csv-cell.js';
import type { CsvColumns } from './csv-columns.js';

/** Feature cells of the rows taken, row-major; a category is the number of its word. */
export interface FeatureTable {
  readonly features: Float64Array;
  /** By column index: the words of a categorical column, by number. */
  readonly words: ReadonlyMap<number, readonly string[]>;
  /** The line of each row. */
  readonly lines: Uint32Array;
}

/** Features as the model sees them, row-major, with a label for each. */
export interface EncodedFeatures {
  readonly values: Float64Array;
  readonly labels: readonly string[];
  /** Whether a feature is a number (and may be standardized) or one place of a category. */
  readonly numeric: readonly boolean[];
  readonly context: DataContext;
}

/** One category column's places: where each word, by its number, is encoded. */
interface OneHot {
  readonly categories: readonly string[];
  readonly placeOfWord: readonly number[];
}

/**
 * Puts each category in its one-hot place: as many features as the column has categories, 1 at the row's own. The
 * categories are those of the training data, sorted by their UTF-16 units (the same on every machine).
 * @throws DataError `data_vocabulary` a category that the training data lacks
 */
export function encodeFeatures(
  file: string,
  table: FeatureTable,
  columns: CsvColumns,
  context: DataContext,
): EncodedFeatures {
  const { features: raw } = columns;
  const encoders = raw.map((column) => {
    const words = table.words.get(column.index);
    return words ? oneHotOf(words, context.categories?.[column.label]) : undefined;
  });
  const labels: string[] = [];
  const numeric: boolean[] = [];
  raw.forEach((column, i) => {
    const names = encoders[i]?.categories.map((category) => `${column.label} = ${category}`) ?? [
      column.label,
    ];
    labels.push(...names);
    numeric.push(...names.map(() => encoders[i] === undefined));
  });
  if (encoders.every((encoder) => encoder === undefined))
    return { values: table.features, labels, numeric, context };

  const rows = table.lines.length;
  const values = new Float64Array(rows * labels.length);
  for (let row = 0, from = 0, to = 0; row < rows; row++) {
    for (let i = 0; i < raw.length; i++) {
      const value = table.features[from++]!;
      const encoder = encoders[i];
      if (!encoder) {
        values[to++] = value;
        continue;
      }
      const place = encoder.placeOfWord[value]!;
      if (place < 0) {
        const word = table.words.get(raw[i]!.index)![value]!;
        throw unknownCategory(word, { file, line: table.lines[row]!, column: raw[i]! }, encoder.categories);
      }
      values[to + place] = 1;
      to += encoder.categories.length;
    }
  }
  const categories = Object.fromEntries(
    raw.flatMap((column, i) => (encoders[i] ? [[column.label, encoders[i].categories] as const] : [])),
  );
  return { values, labels, numeric, context: { ...context, categories } };
}

/**
 * Standardizes the numeric features in place: mean 0 and standard deviation 1 over the rows given, or by the
 * statistics of the training data. A feature that never changes becomes 0 (its std is taken as 1).
 * @returns the statistics used, one for each feature; 0 and 1 where a feature is a category's place
 * @throws DataError `data_shape` when the statistics are of another number of features
 */
export function standardize(
  file: string,
  encoded: EncodedFeatures,
  rows: number,
  known: DataContext['statistics'],
): NonNullable<DataContext['statistics']> {
  const width = encoded.labels.length;
  const statistics = known ?? measure(encoded, rows);
  if (statistics.mean.length !== width || statistics.std.length !== width) {
    throw new DataError(
      'data_shape',
      `${file}: has ${width} features, the training data has ${statistics.mean.length}; give both the same columns`,
      { file, found: width, accepted: statistics.mean.length },
    );
  }
  const { values } = encoded;
  for (let at = 0; at < rows * width;) {
    for (let i = 0; i < width; i++, at++)
      values[at] = (values[at]! - statistics.mean[i]!) / statistics.std[i]!;
  }
  return statistics;
}

/** Population mean and standard deviation, in two passes. */
function measure(encoded: EncodedFeatures, rows: number): NonNullable<DataContext['statistics']> {
  const { values, numeric } = encoded;
  const width = numeric.length;
  const mean = new Array<number>(width).fill(0);
  const std = new Array<number>(width).fill(1);
  for (let i = 0; i < width; i++) {
    if (!numeric[i]) continue;
    let sum = 0;
    for (let at = i; at < values.length; at += width) sum += values[at]!;
    const center = sum / rows;
    let squares = 0;
    for (let at = i; at < values.length; at += width) squares += (values[at]! - center) ** 2;
    mean[i] = center;
    const spread = Math.sqrt(squares / rows);
    // of a constant column rounding leaves a spread of some 1e-17 of its value, which would blow up
    std[i] = spread > Math.abs(center) * 1e-12 ? spread : 1;
  }
  return { mean, std };
}

function oneHotOf(words: readonly string[], known: readonly string[] | undefined): OneHot {
  const categories = known ?? [...words].sort();
  return { categories, placeOfWord: words.map((word) => categories.indexOf(word)) };
}
