/** How values travel. Sums are always accumulated in float32, whatever the wire. */
export type WireFormat = 'float32' | 'float16' | 'bfloat16';

export const WIRE_FORMATS: readonly WireFormat[] = ['float32', 'float16', 'bfloat16'];

/** Bytes that one element takes on the wire. */
export function wireBytes(wire: WireFormat): number {
  return wire === 'float32' ? 4 : 2;
}

/**
 * Arithmetic on the values of one arena, in place. `target` and `source` are byte offsets into the arena's
 * memory; `count` is in elements. Ranges must not overlap, except that they may be equal. Any alignment works.
 *
 * Rounding to 16 bits is to nearest, ties to even. float16 becomes infinity from 65520 on (so that an
 * overflow shows, instead of being clipped) and keeps subnormals; NaN stays NaN with its sign, its payload
 * dropped (float16) or cut and made quiet (bfloat16). Packing what was unpacked gives the same bits again.
 * IEEE 754-2019, binary16; bfloat16 as in the "BFLOAT16 Hardware Numerics Definition" (Intel, 2018), with subnormals kept.
 */
export interface Kernels {
  /** target[i] += source[i], float32 */
  readonly add: (target: number, source: number, count: number) => void;
  /** target[i] *= factor (rounded to float32), float32 */
  readonly scale: (target: number, factor: number, count: number) => void;
  /** The sum of source[i]^2 in float64, in a fixed order that does not depend on alignment. */
  readonly sumOfSquares: (source: number, count: number) => number;
  readonly packFloat16: (target: number, source: number, count: number) => void;
  /** Packs source, and gives source the values that were packed. */
  readonly roundFloat16: (target: number, source: number, count: number) => void;
  readonly unpackFloat16: (target: number, source: number, count: number) => void;
  /** target[i] (float32) += source[i] (float16) */
  readonly addFloat16: (target: number, source: number, count: number) => void;
  readonly packBfloat16: (target: number, source: number, count: number) => void;
  /** Packs source, and gives source the values that were packed. */
  readonly roundBfloat16: (target: number, source: number, count: number) => void;
  readonly unpackBfloat16: (target: number, source: number, count: number) => void;
  /** target[i] (float32) += source[i] (bfloat16) */
  readonly addBfloat16: (target: number, source: number, count: number) => void;
  /**
   * A 32-bit checksum (as a signed number) of `bytes` bytes, for payloads that stay within one host: any flipped
   * bit shows, as do blocks that were exchanged or come from elsewhere. Four times as fast as a CRC.
   */
  readonly checksum: (source: number, bytes: number) => number;
}
