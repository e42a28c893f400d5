import { InvariantError } from '../../base/index.js';
import type { Batch, DataContext, Dataset, SampleTensor, ValuePlace } from '../dataset.js';
import { DataError } from '../errors.js';
import type { Column } from './column.js';
import type { ByteSource } from './source.js';

/** A column with the shape in which the model sees its samples. */
export interface BoundColumn {
  readonly name?: string;
  readonly column: Column;
  readonly sampleShape: readonly number[];
}

export interface StoredParts {
  readonly inputs: readonly BoundColumn[];
  readonly target: BoundColumn;
  /** Each once; closed with the dataset. */
  readonly sources: readonly ByteSource[];
  /** The range of the columns' samples that the dataset is. */
  readonly rows: readonly [number, number];
  readonly classes?: number;
  readonly context: DataContext;
  /** Names an element of a column's sample; `row` counts from the start of the file, before `rows`. */
  readonly place: (row: number, tensor: number | 'target', element: number) => ValuePlace;
  /** Memory held beside sources and columns, for instance the line numbers of a csv file. */
  readonly otherBytes?: number;
}

/** The one implementation of `Dataset`: columns over sources of bytes. */
export class StoredDataset implements Dataset {
  readonly length: number;
  readonly inputs: readonly SampleTensor[];
  readonly target: SampleTensor;
  readonly context: DataContext;
  declare readonly classes?: number;
  private readonly first: number;

  constructor(private readonly parts: StoredParts) {
    this.first = parts.rows[0];
    this.length = parts.rows[1] - parts.rows[0];
    this.inputs = parts.inputs.map(tensorOf);
    this.target = tensorOf(parts.target);
    this.context = parts.context;
    if (parts.classes !== undefined) this.classes = parts.classes;
  }

  get bytes(): number {
    const columns = [...this.parts.inputs, this.parts.target].map((bound) => bound.column.heldBytes);
    const sources = this.parts.sources.map((source) => source.heldBytes);
    return [...columns, ...sources].reduce((sum, held) => sum + held, this.parts.otherBytes ?? 0);
  }

  read(indices: ArrayLike<number>, start: number, end: number, out: Batch): void {
    const { inputs, target } = this.parts;
    if (out.inputs.length !== inputs.length) {
      throw new InvariantError(
        `a batch of this dataset has ${inputs.length} inputs, found ${out.inputs.length}`,
      );
    }
    for (let i = start; i < end; i++) {
      const row = indices[i];
      if (row === undefined || !(row >= 0 && row < this.length && Number.isInteger(row))) {
        throw new InvariantError(`sample ${String(row)} is outside [0, ${this.length})`);
      }
    }
    for (let i = 0; i < inputs.length; i++) {
      inputs[i]!.column.fill(indices, start, end, this.first, out.inputs[i]!);
    }
    target.column.fill(indices, start, end, this.first, out.target);
  }

  place(row: number, tensor: number | 'target', element: number): ValuePlace {
    return this.parts.place(this.first + row, tensor, element);
  }

  close(): void {
    for (const source of this.parts.sources) source.close();
  }
}

/**
 * Checks `rows` against what the file has.
 * @throws DataError `data_rows`, `data_empty`
 */
export function rowRange(
  name: string,
  rows: readonly [number, number] | undefined,
  available: number,
): readonly [number, number] {
  if (available === 0) {
    throw new DataError('data_empty', `${name}: has no rows`, { file: name, found: 0 });
  }
  const [start, end] = rows ?? [0, available];
  if (start >= end) {
    throw new DataError(
      'data_rows',
      `${name}: rows [${start}, ${end}] is empty; the range is half-open, so its end must be above its start`,
      { file: name, found: `[${start}, ${end}]` },
    );
  }
  if (end > available) {
    throw new DataError(
      'data_rows',
      `${name}: rows [${start}, ${end}] reaches past the end; the file has ${available} rows, [0, ${available}] takes all`,
      { file: name, found: end, accepted: available },
    );
  }
  return [start, end];
}

function tensorOf(bound: BoundColumn): SampleTensor {
  const { dtype } = bound.column.layout;
  const tensor = { dtype, sampleShape: bound.sampleShape };
  return bound.name === undefined ? tensor : { name: bound.name, ...tensor };
}
