import type { DataType } from '../ir/tensor.js';

/**
 * What an element type keeps of a real number: integers are truncated towards zero and wrapped to their
 * width (two's complement), booleans become 0 or 1, floats pass (the reference evaluator does not round).
 */
export function keeperOf(dtype: DataType): (value: number) => number {
  switch (dtype) {
    case 'bool':
      return (value) => (value !== 0 ? 1 : 0);
    case 'int8':
      return (value) => (value << 24) >> 24;
    case 'int16':
      return (value) => (value << 16) >> 16;
    case 'int32':
      return (value) => value | 0;
    case 'uint8':
      return (value) => value & 0xff;
    case 'uint16':
      return (value) => value & 0xffff;
    case 'uint32':
      return (value) => value >>> 0;
    case 'int64':
      return (value) => (Number.isSafeInteger(value) ? value : Math.trunc(value) || 0);
    case 'uint64':
      return (value) =>
        value >= 0 ? Math.trunc(value) : Number(BigInt.asUintN(64, BigInt(Math.trunc(value) || 0)));
    default:
      return (value) => value;
  }
}

const WIDTHS: Partial<Record<DataType, { readonly bits: number; readonly signed: boolean }>> = {
  int8: { bits: 8, signed: true },
  int16: { bits: 16, signed: true },
  int32: { bits: 32, signed: true },
  int64: { bits: 64, signed: true },
  uint8: { bits: 8, signed: false },
  uint16: { bits: 16, signed: false },
  uint32: { bits: 32, signed: false },
  uint64: { bits: 64, signed: false },
};

/** The product as the element type holds it: exact modulo 2^bits, also where float64 would round it. */
export function productOf(dtype: DataType, a: number, b: number): number {
  const product = a * b;
  const width = WIDTHS[dtype];
  if (!width || Number.isSafeInteger(product)) return product;
  const exact = BigInt(a) * BigInt(b);
  return Number(width.signed ? BigInt.asIntN(width.bits, exact) : BigInt.asUintN(width.bits, exact));
}
