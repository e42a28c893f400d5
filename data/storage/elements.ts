import { unreachable } from '../../base/index.js';

/** How a number is stored in a file: NumPy's letters with the size in bytes; `b1` is a boolean byte. */
export type ElementKind = 'f2' | 'f4' | 'f8' | 'i1' | 'i2' | 'i4' | 'i8' | 'u1' | 'u2' | 'u4' | 'b1';

export function elementBytes(kind: ElementKind): number {
  return Number(kind[1]);
}

export function isFloat(kind: ElementKind): boolean {
  return kind.startsWith('f');
}

/**
 * Reads `count` stored numbers that begin at byte `at` of `view` into `out[0, count)`.
 * Exact for every kind but `i8` beyond 2^53. One loop for each kind, so that each stays monomorphic.
 */
export function decode(
  kind: ElementKind,
  view: DataView,
  at: number,
  count: number,
  littleEndian: boolean,
  out: Float64Array,
): void {
  switch (kind) {
    case 'u1':
    case 'b1':
      for (let i = 0; i < count; i++) out[i] = view.getUint8(at + i);
      return;
    case 'i1':
      for (let i = 0; i < count; i++) out[i] = view.getInt8(at + i);
      return;
    case 'u2':
      for (let i = 0; i < count; i++) out[i] = view.getUint16(at + 2 * i, littleEndian);
      return;
    case 'i2':
      for (let i = 0; i < count; i++) out[i] = view.getInt16(at + 2 * i, littleEndian);
      return;
    case 'u4':
      for (let i = 0; i < count; i++) out[i] = view.getUint32(at + 4 * i, littleEndian);
      return;
    case 'i4':
      for (let i = 0; i < count; i++) out[i] = view.getInt32(at + 4 * i, littleEndian);
      return;
    case 'i8':
      for (let i = 0; i < count; i++) {
        const low = view.getUint32(at + 8 * i + (littleEndian ? 0 : 4), littleEndian);
        const high = view.getInt32(at + 8 * i + (littleEndian ? 4 : 0), littleEndian);
        out[i] = high * 2 ** 32 + low;
      }
      return;
    case 'f2':
      for (let i = 0; i < count; i++) out[i] = halfToNumber(view.getUint16(at + 2 * i, littleEndian));
      return;
    case 'f4':
      for (let i = 0; i < count; i++) out[i] = view.getFloat32(at + 4 * i, littleEndian);
      return;
    case 'f8':
      for (let i = 0; i < count; i++) out[i] = view.getFloat64(at + 8 * i, littleEndian);
      return;
    default:
      unreachable(kind);
  }
}

/** IEEE 754 binary16. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
