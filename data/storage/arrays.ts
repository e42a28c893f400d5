import { elementsOf, type DataType, type Dataset, type ValuePlace } from '../dataset.js';
import { DataError } from '../errors.js';
import { fitOrRefuse } from '../fit.js';
import type { InputWish, OpenRequest } from '../request.js';
import type { NormalizeSpec } from '../schema.js';
import { affineOf, type Affine } from './affine.js';
import { Column, convertible, naturalType } from './column.js';
import { elementBytes, type ElementKind } from './elements.js';
import type { ByteSource } from './source.js';
import { rowRange, StoredDataset, type BoundColumn } from './stored.js';

/** A dense row-major array in a source, its first axis being the samples. */
export interface StoredArray {
  readonly source: ByteSource;
  readonly kind: ElementKind;
  readonly littleEndian: boolean;
  readonly firstByte: number;
  readonly shape: readonly number[];
}

export interface ArrayFields {
  /** By the model's input name; '' alone where the data does not name its input. */
  readonly inputs: ReadonlyMap<string, StoredArray>;
  readonly target: StoredArray;
  /** How raw values are scaled before `normalize`, by default. */
  readonly scale: (array: StoredArray) => number;
  readonly normalize?: NormalizeSpec | undefined;
  readonly rows?: readonly [number, number] | undefined;
}

/**
 * Binds arrays to the model's inputs and the loss's target.
 * @throws DataError `data_name`, `data_type`, `data_shape`, `data_counts`, `data_rows`, `data_spec`
 */
export function datasetOfArrays(fields: ArrayFields, request: OpenRequest): Dataset {
  const arrays = [...fields.inputs.values()];
  const counted = arrays[0]!;
  for (const array of [...arrays, fields.target]) sameCount(counted, array);
  const inputs = bindInputs(fields, request.inputs);
  const target = bindTarget(fields.target, request);
  const rows = rowRange(counted.source.name, fields.rows, counted.shape[0]!);
  return new StoredDataset({
    inputs,
    target,
    rows,
    sources: [...new Set([...arrays, fields.target].map((array) => array.source))],
    context: request.context,
    place: (row, tensor, element) => placeOf(tensor === 'target' ? target : inputs[tensor]!, row, element),
  });
}

function sameCount(first: StoredArray, other: StoredArray): void {
  for (const array of [first, other]) {
    if (array.shape.length === 0) {
      const file = array.source.name;
      throw new DataError(
        'data_shape',
        `${file}: holds a single number; the first axis must be the samples`,
        { file },
      );
    }
  }
  if (first.shape[0] === other.shape[0]) return;
  throw new DataError(
    'data_counts',
    `${first.source.name} has ${first.shape[0]!} rows, but ${other.source.name} has ${other.shape[0]!}; ` +
      'each sample needs exactly one row in both',
    { file: other.source.name, found: other.shape[0]!, accepted: first.shape[0]! },
  );
}

function bindInputs(fields: ArrayFields, wishes: readonly InputWish[] | undefined): BoundColumn[] {
  const { inputs } = fields;
  const unnamed = inputs.get('');
  if (!wishes) {
    return [...inputs].map(([name, array]) => bind(array, name === '' ? undefined : name, undefined, fields));
  }
  if (unnamed && wishes.length === 1) return [bind(unnamed, wishes[0]!.name, wishes[0], fields)];
  const known = [...inputs.keys()];
  const takes = wishes.map((wish) => wish.name).join(', ');
  const file = [...inputs.values()][0]!.source.name;
  if (unnamed) {
    throw new DataError(
      'data_name',
      `${file}: the model takes ${wishes.length} inputs (${takes}); name them all under inputs: instead of features:`,
      { file, accepted: takes },
    );
  }
  const stranger = known.find((name) => !wishes.some((wish) => wish.name === name));
  if (stranger !== undefined) {
    throw new DataError('data_name', `inputs.${stranger}: the model has no such input; it takes ${takes}`, {
      found: stranger,
      accepted: takes,
    });
  }
  return wishes.map((wish) => {
    const array = inputs.get(wish.name);
    if (array) return bind(array, wish.name, wish, fields);
    throw new DataError('data_name', `the model's input ${wish.name} has no data; add it under inputs:`, {
      found: known.join(', '),
      accepted: wish.name,
    });
  });
}

function bind(
  array: StoredArray,
  name: string | undefined,
  wish: InputWish | undefined,
  fields: ArrayFields,
): BoundColumn {
  const file = array.source.name;
  const sample = array.shape.slice(1);
  const scale = fields.scale(array);
  const scaled = scale !== 1 || fields.normalize !== undefined;
  const dtype = wish ? wishedType(wish) : scaled ? 'float32' : naturalType(array.kind);
  const what = name === undefined ? 'features' : `input ${name}`;
  if (!convertible(array.kind, dtype)) throw wrongType(file, what, array.kind, dtype);
  const float = dtype === 'float32' || dtype === 'float64';
  const affine = float ? affineOf(file, sample, scale, fields.normalize) : undefined;
  const sampleShape = wish
    ? fitOrRefuse(
        what,
        file,
        sample,
        wish.shape.slice(1),
        'axes of length 1 may be added or left out, or all axes flattened',
      )
    : sample;
  const column = columnOf(array, dtype, affine);
  return name === undefined ? { column, sampleShape } : { name, column, sampleShape };
}

function bindTarget(array: StoredArray, request: OpenRequest): BoundColumn {
  const { kind, shape } = request.target;
  const file = array.source.name;
  const sample = array.shape.slice(1);
  const dtype = kind === 'classes' ? 'int64' : 'float32';
  if (!convertible(array.kind, dtype)) throw wrongType(file, 'the target', array.kind, dtype);
  const sampleShape = shape ? fitOrRefuse('the target', file, sample, shape.slice(1), TARGET_REMEDY) : sample;
  return { column: columnOf(array, dtype, undefined), sampleShape };
}

const TARGET_REMEDY =
  "the target must have the shape of the model's output (without the classes, for class ids)";

/**
 * The element type of a model's input, when data can feed it.
 * @throws DataError `data_type`
 */
export function wishedType(wish: InputWish): DataType {
  switch (wish.dtype) {
    case 'float32':
    case 'float64':
    case 'int32':
    case 'int64':
    case 'bool':
      return wish.dtype;
    default:
      throw new DataError(
        'data_type',
        `the model's input ${wish.name} is ${wish.dtype}; data can feed float32, float64, int32, int64 and bool`,
        { column: wish.name, found: wish.dtype },
      );
  }
}

function wrongType(file: string, what: string, kind: ElementKind, dtype: DataType): DataError {
  const save = dtype === 'bool' ? 'bool' : 'int64';
  return new DataError(
    'data_type',
    `${file}: ${what} must be ${dtype}, found ${kind}; save the array with .astype('${save}') if that is what it means`,
    { file, found: kind, accepted: dtype },
  );
}

function columnOf(array: StoredArray, dtype: DataType, affine: Affine | undefined): Column {
  const sampleShape = array.shape.slice(1);
  return new Column({
    source: array.source,
    kind: array.kind,
    littleEndian: array.littleEndian,
    firstByte: array.firstByte,
    strideBytes: elementsOf(sampleShape) * elementBytes(array.kind),
    sampleShape,
    dtype,
    affine,
  });
}

function placeOf(bound: BoundColumn, row: number, element: number): ValuePlace {
  const { source, sampleShape } = bound.column.layout;
  const columnLabel = sampleShape.length === 0 ? '' : `element [${unravel(element, sampleShape).join(', ')}]`;
  return { file: source.name, rowLabel: `row ${row} (from 0)`, row, columnLabel, column: element };
}

/** The index on each axis of element number `element`, row-major. */
function unravel(element: number, shape: readonly number[]): number[] {
  const index = new Array<number>(shape.length);
  let rest = element;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index[axis] = rest % shape[axis]!;
    rest = Math.floor(rest / shape[axis]!);
  }
  return index;
}
