import { DataError } from '../errors.js';
import type { ElementKind } from '../storage/elements.js';
import { piece, type ByteSource } from '../storage/source.js';

/** What an npy file says about itself. */
export interface NpyHeader {
  readonly kind: ElementKind;
  readonly littleEndian: boolean;
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
  /** Where the elements begin. */
  readonly firstByte: number;
}

/** NumPy's own headers are below 1 KiB; a longer one is not an array of numbers, or not honest. */
const LONGEST_HEADER = 2 ** 16;
const KINDS: readonly string[] = [
  'f2',
  'f4',
  'f8',
  'i1',
  'i2',
  'i4',
  'i8',
  'u1',
  'u2',
  'u4',
  'b1',
] satisfies ElementKind[];
const ACCEPTED = 'float16, float32, float64, int8 to int64, uint8 to uint32 and bool';

/**
 * Reads the header of an npy file, versions 1.0, 2.0 and 3.0. Nothing in it is evaluated, and arrays of Python objects
 * (pickles, which can run code) are refused.
 * @throws DataError `data_format`, `data_truncated`, `data_type`
 * @see https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
export function readNpyHeader(source: ByteSource): NpyHeader {
  const file = source.name;
  checkMagic(source);
  const version = piece(source, 6, 1).getUint8(0);
  if (version < 1 || version > 3) {
    throw new DataError(
      'data_format',
      `${file}: npy version ${version} is not known; versions 1, 2 and 3 are`,
      {
        file,
        found: version,
        accepted: '1, 2, 3',
      },
    );
  }
  const prefix = version === 1 ? 10 : 12;
  if (source.length < prefix) throw cut(file, source.length, prefix);
  const field = piece(source, 8, prefix - 8);
  const length = version === 1 ? field.getUint16(0, true) : field.getUint32(0, true);
  if (length > LONGEST_HEADER) {
    throw new DataError(
      'data_format',
      `${file}: a header of ${length} bytes; at most ${LONGEST_HEADER} are accepted`,
      {
        file,
        found: length,
        accepted: LONGEST_HEADER,
      },
    );
  }
  if (source.length < prefix + length) throw cut(file, source.length, prefix + length);
  const text = new TextDecoder(version === 3 ? 'utf-8' : 'latin1').decode(piece(source, prefix, length));
  return { ...parseDictionary(file, text), firstByte: prefix + length };
}

function checkMagic(source: ByteSource): void {
  const file = source.name;
  const head = piece(source, 0, Math.min(8, source.length));
  const text = new TextDecoder('latin1').decode(head);
  if (source.length >= 8 && head.getUint8(0) === 0x93 && text.startsWith('NUMPY', 1)) return;
  const hint = text.startsWith('PK')
    ? 'it is a zip archive: use format: npz'
    : head.getUint8(0) === 0x80
      ? 'it looks like a Python pickle, which can run code and is not read: save the array with numpy.save'
      : 'save the array with numpy.save';
  throw new DataError('data_format', `${file}: not an npy file; ${hint}`, { file, accepted: 'npy' });
}

function parseDictionary(file: string, text: string): Omit<NpyHeader, 'firstByte'> {
  const shape = /'shape'\s*:\s*\(([\d\s,]*)\)/.exec(text)?.[1];
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(text)?.[1];
  const descr = /'descr'\s*:\s*(?:'([^']*)'|(\[))/.exec(text);
  if (shape === undefined || order === undefined || !descr) {
    throw new DataError('data_format', `${file}: the npy header lacks descr, fortran_order or shape`, {
      file,
      found: text.slice(0, 80),
    });
  }
  const type = descr[1] ?? 'a record of several fields';
  const kind = /^[<>|=]?(\w+)$/.exec(type)?.[1] ?? type;
  if (!isKind(kind)) {
    const remedy = /^[<>|=]?O/.test(type)
      ? 'Python objects are pickles, which can run code, and are not read; convert the array with .astype first'
      : `accepted are ${ACCEPTED}`;
    throw new DataError('data_type', `${file}: elements are ${type}; ${remedy}`, {
      file,
      found: type,
      accepted: ACCEPTED,
    });
  }
  const dims = shape
    .split(',')
    .map((dim) => dim.trim())
    .filter((dim) => dim !== '')
    .map(Number);
  return { kind, littleEndian: !type.startsWith('>'), fortranOrder: order === 'True', shape: dims };
}

function isKind(kind: string): kind is ElementKind {
  return KINDS.includes(kind);
}

function cut(file: string, found: number, accepted: number): DataError {
  return new DataError('data_truncated', `${file}: is cut short inside its header, after ${found} bytes`, {
    file,
    found,
    accepted,
  });
}
