import { setImmediate } from 'node:timers/promises';
import { allocateBatch, elementsOf, type BatchArray, type Dataset, type ValuePlace } from './dataset.js';
import { DataError } from './errors.js';

export interface CheckOptions {
  /** The model's classes; every class id must be in [0, classes). */
  readonly classes?: number;
  /** For each input that indexes an embedding, the embedding's rows; undefined for other inputs. */
  readonly embeddingRows?: readonly (number | undefined)[];
  /** The range of a float target, both ends included: [0, 1] for binary cross-entropy. */
  readonly targetRange?: readonly [number, number];
}

/** Elements looked at between two turns of the event loop. */
const BLOCK_ELEMENTS = 2 ** 18;

type Test = (values: BatchArray, count: number) => number;
type Explain = (place: ValuePlace, value: number) => DataError;
interface Scan {
  readonly tensor: number | 'target';
  readonly elements: number;
  /** The index of the first element that is wrong, or -1. */
  readonly test: Test;
  readonly explain: Explain;
}

/**
 * Looks at every value once, as the model will see it: NaN and infinities, class ids and token ids out of range.
 * What the data itself rules out (a vocabulary no larger than the embedding) is not scanned. The event loop gets a turn
 * every 2^18 elements; memory is one block.
 * @throws DataError `data_value`, `data_label`, with file, row and column of the first value that is wrong
 */
export async function checkDataset(dataset: Dataset, options: CheckOptions = {}): Promise<void> {
  const scans = [...dataset.inputs.keys()].map((i) => inputScan(dataset, i, options.embeddingRows?.[i]));
  const needed = [...scans, targetScan(dataset, options)].filter((scan) => scan !== undefined);
  if (needed.length === 0) return;
  const width = dataset.inputs.reduce((sum, input) => sum + elementsOf(input.sampleShape), 1);
  const block = Math.max(1, Math.min(dataset.length, Math.floor(BLOCK_ELEMENTS / width)));
  const batch = allocateBatch(dataset, block);
  const indices = new Uint32Array(block);
  for (let start = 0; start < dataset.length; start += block) {
    const rows = Math.min(block, dataset.length - start);
    for (let i = 0; i < rows; i++) indices[i] = start + i;
    dataset.read(indices, 0, rows, batch);
    for (const scan of needed) {
      const values = scan.tensor === 'target' ? batch.target : batch.inputs[scan.tensor]!;
      const wrong = scan.test(values, rows * scan.elements);
      if (wrong < 0) continue;
      const row = start + Math.floor(wrong / scan.elements);
      throw scan.explain(dataset.place(row, scan.tensor, wrong % scan.elements), Number(values[wrong]));
    }
    await setImmediate();
  }
}

function inputScan(dataset: Dataset, tensor: number, rows: number | undefined): Scan | undefined {
  const { dtype, sampleShape } = dataset.inputs[tensor]!;
  const elements = elementsOf(sampleShape);
  if (dtype === 'float32' || dtype === 'float64')
    return { tensor, elements, test: firstNotFinite, explain: notFinite };
  if (rows === undefined || dtype === 'bool') return undefined;
  if (dataset.classes !== undefined && dataset.classes <= rows) return undefined;
  return {
    tensor,
    elements,
    test: firstOutside(rows),
    explain: (place, value) =>
      new DataError(
        'data_label',
        `${at(place)}: token id ${value} is outside the model's embedding of ${rows} rows, 0 to ${rows - 1}`,
        { ...idsOf(place), found: value, accepted: rows },
      ),
  };
}

function targetScan(dataset: Dataset, options: CheckOptions): Scan | undefined {
  const elements = elementsOf(dataset.target.sampleShape);
  const { classes, targetRange } = options;
  if (dataset.target.dtype === 'float32') {
    const test = targetRange ? firstOutsideRange(targetRange) : firstNotFinite;
    const explain: Explain = (place, value) =>
      targetRange && Number.isFinite(value)
        ? outsideRange(place, value, targetRange)
        : notFinite(place, value);
    return { tensor: 'target', elements, test, explain };
  }
  if (classes === undefined || (dataset.classes !== undefined && dataset.classes <= classes))
    return undefined;
  const explain: Explain = (place, value) =>
    new DataError(
      'data_label',
      `${at(place)}: label ${value} is outside the model's ${classes} classes, 0 to ${classes - 1}; labels count from 0`,
      { ...idsOf(place), found: value, accepted: classes },
    );
  return { tensor: 'target', elements, test: firstOutside(classes), explain };
}

/** x - x is 0 for every finite x and NaN for the others. */
const firstNotFinite: Test = (values, count) => {
  const floats = values as Float32Array | Float64Array;
  for (let i = 0; i < count; i++) if (!(floats[i]! - floats[i]! === 0)) return i;
  return -1;
};

function firstOutsideRange([low, high]: readonly [number, number]): Test {
  return (values, count) => {
    for (let i = 0; i < count; i++) if (!(Number(values[i]) >= low && Number(values[i]) <= high)) return i;
    return -1;
  };
}

/** The first integer outside [0, limit). int64 is looked at as pairs of words: no BigInt is made. */
function firstOutside(limit: number): Test {
  return (values, count) => {
    if (!(values instanceof BigInt64Array)) {
      for (let i = 0; i < count; i++) if (!(Number(values[i]) >= 0 && Number(values[i]) < limit)) return i;
      return -1;
    }
    const words = new Uint32Array(values.buffer, values.byteOffset, 2 * count);
    for (let i = 0; i < count; i++) if (words[2 * i + 1] !== 0 || !(words[2 * i]! < limit)) return i;
    return -1;
  };
}

function notFinite(place: ValuePlace, value: number): DataError {
  return new DataError(
    'data_value',
    `${at(place)}: ${value} cannot be trained on; mend the value or leave the row out`,
    {
      ...idsOf(place),
      found: String(value),
      accepted: 'a finite number',
    },
  );
}

function outsideRange(place: ValuePlace, value: number, [low, high]: readonly [number, number]): DataError {
  return new DataError(
    'data_value',
    `${at(place)}: target ${value} is outside [${low}, ${high}], which this loss takes`,
    {
      ...idsOf(place),
      found: value,
      accepted: `[${low}, ${high}]`,
    },
  );
}

function at(place: ValuePlace): string {
  return `${place.file}: ${place.rowLabel}${place.columnLabel === '' ? '' : `, ${place.columnLabel}`}`;
}

function idsOf(place: ValuePlace): { file: string; row: number; column: string | number } {
  return { file: place.file, row: place.row, column: place.column };
}
