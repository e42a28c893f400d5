import { elementsOf, type Dataset } from '../dataset.js';
import { DataError } from '../errors.js';
import { shapeText } from '../fit.js';
import type { OpenRequest } from '../request.js';
import type { IdxSpec } from '../schema.js';
import { datasetOfArrays, type StoredArray } from '../storage/arrays.js';
import { elementBytes, type ElementKind } from '../storage/elements.js';
import { openBytes } from '../storage/open.js';
import { piece, type ByteSource } from '../storage/source.js';
import { openAll } from '../storage/together.js';

/** The third byte of the magic number: the element type. */
const KINDS: Readonly<Record<number, ElementKind>> = {
  0x08: 'u1',
  0x09: 'i1',
  0x0b: 'i2',
  0x0c: 'i4',
  0x0d: 'f4',
  0x0e: 'f8',
};

/**
 * Opens a pair of idx files, the format of MNIST: two zero bytes, an element type, the number of axes, their lengths
 * as big-endian 32-bit integers, then the elements, big-endian and row-major.
 *
 * Unsigned bytes are pixels and are scaled to [0, 1] before `normalize`, unless `scale` says otherwise.
 * @throws DataError
 * @see http://yann.lecun.com/exdb/mnist/ "The IDX file format"
 */
export async function openIdx(spec: IdxSpec, request: OpenRequest): Promise<Dataset> {
  return openAll(
    [spec.features, spec.labels].map((reference) => () => openBytes(request.file(reference), request.limits)),
    ([features, labels]) => {
      const target = idxArray(labels!);
      if (target.shape.length !== 1 && request.target.kind === 'classes') {
        throw new DataError(
          'data_format',
          `${labels!.name}: holds an array of ${target.shape.length} axes, ${shapeText(target.shape)}; ` +
            'labels have one axis: are features and labels swapped?',
          { file: labels!.name, found: target.shape.length, accepted: 1 },
        );
      }
      return datasetOfArrays(
        {
          inputs: new Map([['', idxArray(features!)]]),
          target,
          scale: (array) => spec.scale ?? (array.kind === 'u1' ? 1 / 255 : 1),
          normalize: spec.normalize,
          rows: spec.rows,
        },
        request,
      );
    },
  );
}

/**
 * Reads the header.
 * @throws DataError `data_format` another magic number, `data_truncated` fewer bytes than announced
 */
export function idxArray(source: ByteSource): StoredArray {
  const file = source.name;
  const magic = source.length >= 4 ? read32(source, 0) : -1;
  const kind = KINDS[(magic >>> 8) & 0xff];
  const axes = magic & 0xff;
  if (magic < 0 || magic >>> 16 !== 0 || kind === undefined || axes === 0) {
    const found =
      source.length >= 4 ? `0x${(magic >>> 0).toString(16).padStart(8, '0')}` : `${source.length} bytes`;
    throw new DataError(
      'data_format',
      `${file}: not an idx file; it begins with ${found}, images of bytes begin with 0x00000803 and labels with 0x00000801`,
      { file, found, accepted: '0x00000803' },
    );
  }
  const firstByte = 4 + 4 * axes;
  const announced = axes <= (source.length - 4) / 4;
  const shape = announced ? Array.from({ length: axes }, (_, i) => read32(source, 4 + 4 * i) >>> 0) : [];
  const bytes = announced ? firstByte + elementsOf(shape) * elementBytes(kind) : firstByte;
  if (source.length !== bytes) {
    const problem = source.length < bytes ? 'is cut short' : 'has bytes after its end';
    throw new DataError(
      'data_truncated',
      `${file}: ${problem}; its header announces ${bytes} bytes ${shapeText(shape)}, found ${source.length}`,
      { file, found: source.length, accepted: bytes },
    );
  }
  return { source, kind, littleEndian: false, firstByte, shape };
}

function read32(source: ByteSource, offset: number): number {
  return piece(source, offset, 4).getInt32(0);
}
