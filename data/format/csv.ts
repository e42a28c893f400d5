import type { Dataset } from '../dataset.js';
import { DataError } from '../errors.js';
import { fitOrRefuse } from '../fit.js';
import type { OpenRequest } from '../request.js';
import type { CsvSpec } from '../schema.js';
import { affineOf } from '../storage/affine.js';
import { wishedType } from '../storage/arrays.js';
import { Column } from '../storage/column.js';
import { MemorySource } from '../storage/source.js';
import { rowRange, StoredDataset, type BoundColumn } from '../storage/stored.js';
import { encodeFeatures, standardize } from './csv-features.js';
import { readTable } from './csv-table.js';

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
  if (table.rowsSeen === 0) {
    throw new DataError(
      'data_empty',
      `${file.name}: has no rows below its header; if the first line is data, set header: false`,
      { file: file.name, found: 0 },
    );
  }
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
  const target = targetColumn(file.name, spec, table.target, request);
  const { lines } = table;
  return new StoredDataset({
    inputs: [bindFeatures(features, width, request)],
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

function floatSource(name: string, values: Float64Array): MemorySource {
  return new MemorySource(name, new Uint8Array(Float32Array.from(values).buffer));
}

function bindFeatures(source: MemorySource, width: number, request: OpenRequest): BoundColumn {
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

function targetColumn(file: string, spec: CsvSpec, values: Float64Array, request: OpenRequest): BoundColumn {
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
  const layout = { littleEndian: true, firstByte: 0, sampleShape: sample } as const;
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
