// SIMD kernels over the arena's memory (see ../kernels.ts for what each promises). Pointers are byte offsets
// and counts are elements. Main loops take four or eight elements at once; the rest one by one, through the
// same arithmetic in a vector of which one lane is used, so that tail and body cannot disagree.

// ---- float16 (IEEE 754 binary16) ----

/** Four float32 to four float16 in the low halves of 32-bit lanes, to nearest even; overflow to infinity. */
function toHalf(value: v128): v128 {
  const magnitude = v128.and(value, i32x4.splat(0x7fffffff));
  // 2^E of the value, but at least float16's smallest normal exponent: below it the spacing stays the same.
  const power = i32x4.max_s(v128.and(magnitude, i32x4.splat(0x7f800000)), i32x4.splat(0x38800000));
  // Float32 numbers around 2^(E + 13) are 2^(E - 10) apart, as float16 numbers around 2^E are: the addition
  // rounds as it has to, and the distance from 2^(E + 13) then counts that spacing (the hidden bit included).
  const anchor = i32x4.add(power, i32x4.splat(0x06800000));
  const steps = i32x4.sub(f32x4.add(magnitude, anchor), anchor);
  const exponent = i32x4.sub(i32x4.shr_u(power, 13), i32x4.splat(0x1c400));
  // Whatever is too large, infinity and NaN come out above infinity's bits, read as unsigned.
  const bounded = i32x4.min_u(i32x4.add(exponent, steps), i32x4.splat(0x7c00));
  const quiet = v128.and(f32x4.ne(value, value), i32x4.splat(0x0200));
  const sign = v128.and(i32x4.shr_u(value, 16), i32x4.splat(0x8000));
  return v128.or(v128.or(bounded, quiet), sign);
}

/** Four float16 in the low halves of 32-bit lanes to four float32, exactly. */
function fromHalf(half: v128): v128 {
  const sign = i32x4.shl(v128.and(half, i32x4.splat(0x8000)), 16);
  const shifted = i32x4.shl(v128.and(half, i32x4.splat(0x7fff)), 13);
  const exponent = v128.and(shifted, i32x4.splat(0x0f800000));
  const isSpecial = i32x4.eq(exponent, i32x4.splat(0x0f800000));
  const isSubnormal = i32x4.eq(exponent, i32x4.splat(0));
  // Infinity and NaN get the largest exponent. A subnormal gets that of 2^-14, whose implied one is taken away
  // again; the others lose zero.
  const special = v128.and(isSpecial, i32x4.splat(0x38000000));
  const normal = i32x4.add(i32x4.add(shifted, i32x4.splat(0x38000000)), special);
  const lifted = i32x4.add(normal, v128.and(isSubnormal, i32x4.splat(0x00800000)));
  return v128.or(f32x4.sub(lifted, v128.and(isSubnormal, i32x4.splat(0x38800000))), sign);
}

// ---- bfloat16 (the upper half of a float32) ----

function toBrain(value: v128): v128 {
  const odd = v128.and(i32x4.shr_u(value, 16), i32x4.splat(1));
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(value, i32x4.splat(0x7fff)), odd), 16);
  const quiet = v128.or(i32x4.shr_u(value, 16), i32x4.splat(0x40));
  return v128.bitselect(rounded, quiet, f32x4.eq(value, value));
}

function fromBrain(brain: v128): v128 {
  return i32x4.shl(brain, 16);
}

// ---- kernels ----

export function add(target: usize, source: usize, count: u32): void {
  let n = count;
  for (; n >= 16; n -= 16) {
    v128.store(target, f32x4.add(v128.load(target), v128.load(source)));
    v128.store(target, f32x4.add(v128.load(target, 16), v128.load(source, 16)), 16);
    v128.store(target, f32x4.add(v128.load(target, 32), v128.load(source, 32)), 32);
    v128.store(target, f32x4.add(v128.load(target, 48), v128.load(source, 48)), 48);
    target += 64;
    source += 64;
  }
  for (; n > 0; n--) {
    store<f32>(target, load<f32>(target) + load<f32>(source));
    target += 4;
    source += 4;
  }
}

export function scale(target: usize, factor: f32, count: u32): void {
  const factors = f32x4.splat(factor);
  let n = count;
  for (; n >= 4; n -= 4) {
    v128.store(target, f32x4.mul(v128.load(target), factors));
    target += 16;
  }
  for (; n > 0; n--) {
    store<f32>(target, load<f32>(target) * factor);
    target += 4;
  }
}

/** Lane `i mod 4` sums the squares of elements `i`; then (lane 0 + lane 2) + (lane 1 + lane 3). */
export function sumOfSquares(source: usize, count: u32): f64 {
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  let n = count;
  for (; n >= 4; n -= 4) {
    const values = v128.load(source);
    const first = f64x2.promote_low_f32x4(values);
    const second = f64x2.promote_low_f32x4(
      i8x16.shuffle(values, values, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15),
    );
    low = f64x2.add(low, f64x2.mul(first, first));
    high = f64x2.add(high, f64x2.mul(second, second));
    source += 16;
  }
  const pairs = f64x2.add(low, high);
  let sum = f64x2.extract_lane(pairs, 0) + f64x2.extract_lane(pairs, 1);
  for (; n > 0; n--) {
    const value = <f64>load<f32>(source);
    sum += value * value;
    source += 4;
  }
  return sum;
}

export function packFloat16(target: usize, source: usize, count: u32): void {
  let n = count;
  for (; n >= 8; n -= 8) {
    v128.store(target, i16x8.narrow_i32x4_u(toHalf(v128.load(source)), toHalf(v128.load(source, 16))));
    source += 32;
    target += 16;
  }
  for (; n > 0; n--) {
    store<u16>(target, <u16>i32x4.extract_lane(toHalf(v128.load32_zero(source)), 0));
    source += 4;
    target += 2;
  }
}

export function roundFloat16(target: usize, values: usize, count: u32): void {
  let n = count;
  for (; n >= 8; n -= 8) {
    const low = toHalf(v128.load(values));
    const high = toHalf(v128.load(values, 16));
    v128.store(target, i16x8.narrow_i32x4_u(low, high));
    v128.store(values, fromHalf(low));
    v128.store(values, fromHalf(high), 16);
    values += 32;
    target += 16;
  }
  for (; n > 0; n--) {
    const half = toHalf(v128.load32_zero(values));
    store<u16>(target, <u16>i32x4.extract_lane(half, 0));
    store<f32>(values, f32x4.extract_lane(fromHalf(half), 0));
    values += 4;
    target += 2;
  }
}

export function unpackFloat16(target: usize, source: usize, count: u32): void {
  let n = count;
  for (; n >= 8; n -= 8) {
    const packed = v128.load(source);
    v128.store(target, fromHalf(i32x4.extend_low_i16x8_u(packed)));
    v128.store(target, fromHalf(i32x4.extend_high_i16x8_u(packed)), 16);
    source += 16;
    target += 32;
  }
  for (; n > 0; n--) {
    store<f32>(target, f32x4.extract_lane(fromHalf(i32x4.splat(<i32>load<u16>(source))), 0));
    source += 2;
    target += 4;
  }
}

export function addFloat16(target: usize, source: usize, count: u32): void {
  let n = count;
  for (; n >= 8; n -= 8) {
    const packed = v128.load(source);
    v128.store(target, f32x4.add(v128.load(target), fromHalf(i32x4.extend_low_i16x8_u(packed))));
    v128.store(target, f32x4.add(v128.load(target, 16), fromHalf(i32x4.extend_high_i16x8_u(packed))), 16);
    source += 16;
    target += 32;
  }
  for (; n > 0; n--) {
    store<f32>(
      target,
      load<f32>(target) + f32x4.extract_lane(fromHalf(i32x4.splat(<i32>load<u16>(source))), 0),
    );
    source += 2;
    target += 4;
  }
}

export function packBfloat16(target: usize, source: usize, count: u32): void {
  let n = count;
  for (; n >= 8; n -= 8) {
    v128.store(target, i16x8.narrow_i32x4_u(toBrain(v128.load(source)), toBrain(v128.load(source, 16))));
    source += 32;
    target += 16;
  }
  for (; n > 0; n--) {
    store<u16>(target, <u16>i32x4.extract_lane(toBrain(v128.load32_zero(source)), 0));
    source += 4;
    target += 2;
  }
}

export function roundBfloat16(target: usize, values: usize, count: u32): void {
  let n = count;
  for (; n >= 8; n -= 8) {
    const low = toBrain(v128.load(values));
    const high = toBrain(v128.load(values, 16));
    v128.store(target, i16x8.narrow_i32x4_u(low, high));
    v128.store(values, fromBrain(low));
    v128.store(values, fromBrain(high), 16);
    values += 32;
    target += 16;
  }
  for (; n > 0; n--) {
    const brain = toBrain(v128.load32_zero(values));
    store<u16>(target, <u16>i32x4.extract_lane(brain, 0));
    store<f32>(values, f32x4.extract_lane(fromBrain(brain), 0));
    values += 4;
    target += 2;
  }
}

export function unpackBfloat16(target: usize, source: usize, count: u32): void {
  let n = count;
  for (; n >= 8; n -= 8) {
    const packed = v128.load(source);
    v128.store(target, fromBrain(i32x4.extend_low_i16x8_u(packed)));
    v128.store(target, fromBrain(i32x4.extend_high_i16x8_u(packed)), 16);
    source += 16;
    target += 32;
  }
  for (; n > 0; n--) {
    store<u32>(target, (<u32>load<u16>(source)) << 16);
    source += 2;
    target += 4;
  }
}

export function addBfloat16(target: usize, source: usize, count: u32): void {
  let n = count;
  for (; n >= 8; n -= 8) {
    const packed = v128.load(source);
    v128.store(target, f32x4.add(v128.load(target), fromBrain(i32x4.extend_low_i16x8_u(packed))));
    v128.store(target, f32x4.add(v128.load(target, 16), fromBrain(i32x4.extend_high_i16x8_u(packed))), 16);
    source += 16;
    target += 32;
  }
  for (; n > 0; n--) {
    store<f32>(target, load<f32>(target) + reinterpret<f32>((<u32>load<u16>(source)) << 16));
    source += 2;
    target += 4;
  }
}

/** Two running sums in each of four lanes (Fletcher's), then all of it and the rest byte by byte as in FNV-1a. */
export function checksum(source: usize, bytes: u32): u32 {
  let sums = i32x4.splat(0);
  let sumsOfSums = i32x4.splat(0);
  let n = bytes;
  for (; n >= 16; n -= 16) {
    sums = i32x4.add(sums, v128.load(source));
    sumsOfSums = i32x4.add(sumsOfSums, sums);
    source += 16;
  }
  let hash = mix(0x811c9dc5, bytes);
  hash = mix(hash, i32x4.extract_lane(sums, 0));
  hash = mix(hash, i32x4.extract_lane(sums, 1));
  hash = mix(hash, i32x4.extract_lane(sums, 2));
  hash = mix(hash, i32x4.extract_lane(sums, 3));
  hash = mix(hash, i32x4.extract_lane(sumsOfSums, 0));
  hash = mix(hash, i32x4.extract_lane(sumsOfSums, 1));
  hash = mix(hash, i32x4.extract_lane(sumsOfSums, 2));
  hash = mix(hash, i32x4.extract_lane(sumsOfSums, 3));
  for (; n > 0; n--) {
    hash = mix(hash, <u32>load<u8>(source));
    source += 1;
  }
  return hash;
}

function mix(hash: u32, word: u32): u32 {
  return (hash ^ word) * 0x01000193;
}
