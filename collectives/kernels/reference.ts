import type { Kernels } from './kernels.js';

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

function bitsOf(value: number): number {
  float[0] = value;
  return bits[0]!;
}

function floatOf(pattern: number): number {
  bits[0] = pattern;
  return float[0]!;
}

/** value / unit to the nearest integer, ties to even. Exact: `unit` is a power of two. */
function roundEven(value: number, unit: number): number {
  const scaled = value / unit;
  const down = Math.floor(scaled);
  const rest = scaled - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

/** float32 to the bits of a binary16, by the definition: find the exponent, round the significand. */
export function float16Bits(value: number): number {
  const sign = bitsOf(value) >>> 31 ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return sign | 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | roundEven(magnitude, 2 ** -24);
  const exponent = Math.floor(Math.log2(magnitude));
  // Math.log2 may be off by one next to a power of two; the significand says so.
  const fixed =
    magnitude < 2 ** exponent ? exponent - 1 : magnitude >= 2 ** (exponent + 1) ? exponent + 1 : exponent;
  // A significand that rounds up to 2^11 carries into the exponent by the addition itself.
  return sign | (((fixed + 14) << 10) + roundEven(magnitude, 2 ** (fixed - 10)));
}

export function float16Value(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 0x3ff;
  if (exponent === 31) {
    if (fraction === 0) return sign * Infinity;
    return floatOf((half & 0x8000 ? 0xff800000 : 0x7f800000) + fraction * 2 ** 13);
  }
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

export function bfloat16Bits(value: number): number {
  const pattern = bitsOf(value);
  if (Number.isNaN(value)) return (pattern >>> 16) | 0x40;
  // Neighbouring bit patterns are neighbouring values, so rounding the pattern rounds the value.
  return roundEven(pattern, 2 ** 16);
}

export function bfloat16Value(brain: number): number {
  return floatOf(brain * 2 ** 16);
}

/** The kernels in plain JavaScript: slow, obvious, what the SIMD ones are tested against. */
export function referenceKernels(memory: WebAssembly.Memory): Kernels {
  const view = new DataView(memory.buffer);
  const get = (at: number): number => view.getFloat32(at, true);
  const set = (at: number, value: number): void => view.setFloat32(at, value, true);
  const get16 = (at: number): number => view.getUint16(at, true);
  const each = (count: number, body: (i: number) => void): void => {
    for (let i = 0; i < count; i++) body(i);
  };
  return {
    add: (target, source, count) =>
      each(count, (i) => set(target + 4 * i, get(target + 4 * i) + get(source + 4 * i))),
    scale: (target, factor, count) =>
      each(count, (i) => set(target + 4 * i, get(target + 4 * i) * Math.fround(factor))),
    sumOfSquares: (source, count) => {
      const lanes: [number, number, number, number] = [0, 0, 0, 0];
      const whole = count - (count % 4);
      each(whole, (i) => (lanes[i % 4]! += get(source + 4 * i) ** 2));
      let sum = lanes[0] + lanes[2] + (lanes[1] + lanes[3]);
      for (let i = whole; i < count; i++) sum += get(source + 4 * i) ** 2;
      return sum;
    },
    packFloat16: (target, source, count) =>
      each(count, (i) => view.setUint16(target + 2 * i, float16Bits(get(source + 4 * i)), true)),
    roundFloat16: (target, source, count) =>
      each(count, (i) => {
        const packed = float16Bits(get(source + 4 * i));
        view.setUint16(target + 2 * i, packed, true);
        set(source + 4 * i, float16Value(packed));
      }),
    unpackFloat16: (target, source, count) =>
      each(count, (i) => set(target + 4 * i, float16Value(get16(source + 2 * i)))),
    addFloat16: (target, source, count) =>
      each(count, (i) => set(target + 4 * i, get(target + 4 * i) + float16Value(get16(source + 2 * i)))),
    packBfloat16: (target, source, count) =>
      each(count, (i) => view.setUint16(target + 2 * i, bfloat16Bits(get(source + 4 * i)), true)),
    roundBfloat16: (target, source, count) =>
      each(count, (i) => {
        const packed = bfloat16Bits(get(source + 4 * i));
        view.setUint16(target + 2 * i, packed, true);
        set(source + 4 * i, bfloat16Value(packed));
      }),
    unpackBfloat16: (target, source, count) =>
      each(count, (i) => view.setUint32(target + 4 * i, get16(source + 2 * i) * 65536, true)),
    addBfloat16: (target, source, count) =>
      each(count, (i) => set(target + 4 * i, get(target + 4 * i) + bfloat16Value(get16(source + 2 * i)))),
    checksum: (source, bytes) => {
      const sums = new Int32Array(8);
      const whole = bytes - (bytes % 16);
      for (let at = 0; at < whole; at += 4) {
        const lane = (at / 4) % 4;
        sums[lane]! += view.getInt32(source + at, true);
        sums[4 + lane]! += sums[lane]!;
      }
      let hash = 0x811c9dc5;
      const mix = (word: number): void => {
        hash = Math.imul(hash ^ word, 0x01000193);
      };
      mix(bytes);
      sums.forEach(mix);
      for (let at = whole; at < bytes; at++) mix(view.getUint8(source + at));
      return hash;
    },
  };
}
