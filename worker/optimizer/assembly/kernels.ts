// Optimizer updates on flat float32 ranges, in place, four elements at a time.
//
// Addresses are bytes in the imported memory. Scalars arrive as float64, computed once a step by the caller,
// and are rounded to float32 here. Each element's operations are those of worker/optimizer/reference.ts in the
// same order, so the results are equal bit for bit: no fused multiply-add, no reassociation.

/** Elements of one vector. */
const LANES: usize = 4;

/**
 * g = scale * gradient + weightDecay * p, v = momentum * v + g, p -= lr * (nesterov ? g + momentum * v : v).
 * With momentum 0 the velocity is neither read nor written and may be any address.
 */
export function sgd(
  parameter: usize,
  gradient: usize,
  velocity: usize,
  elements: usize,
  lr: f64,
  momentum: f64,
  weightDecay: f64,
  nesterov: bool,
  scale: f64,
): void {
  const lr1 = <f32>lr,
    momentum1 = <f32>momentum,
    decay1 = <f32>weightDecay,
    scale1 = <f32>scale;
  const lr4 = f32x4.splat(lr1),
    momentum4 = f32x4.splat(momentum1);
  const decay4 = f32x4.splat(decay1),
    scale4 = f32x4.splat(scale1);
  const hasMomentum = momentum1 != 0;
  let i: usize = 0;
  for (; i + LANES <= elements; i += LANES) {
    const at = i << 2;
    const p = v128.load(parameter + at);
    let g = f32x4.add(f32x4.mul(v128.load(gradient + at), scale4), f32x4.mul(decay4, p));
    if (hasMomentum) {
      const v = f32x4.add(f32x4.mul(momentum4, v128.load(velocity + at)), g);
      v128.store(velocity + at, v);
      g = nesterov ? f32x4.add(g, f32x4.mul(momentum4, v)) : v;
    }
    v128.store(parameter + at, f32x4.sub(p, f32x4.mul(lr4, g)));
  }
  for (; i < elements; i++) {
    const at = i << 2;
    const p = load<f32>(parameter + at);
    let g: f32 = load<f32>(gradient + at) * scale1 + decay1 * p;
    if (hasMomentum) {
      const v: f32 = momentum1 * load<f32>(velocity + at) + g;
      store<f32>(velocity + at, v);
      g = nesterov ? g + momentum1 * v : v;
    }
    store<f32>(parameter + at, p - lr1 * g);
  }
}

/**
 * q = p * keep, g = scale * gradient + weightDecay * q, m = beta1 * m + (1 - beta1) * g, v = beta2 * v + (1 - beta2) * g * g,
 * p = q - stepSize * m / (sqrt(v) / correction + eps).
 * Adam: keep 1. AdamW: weightDecay 0 and keep = 1 - lr * decay.
 * stepSize = lr / (1 - beta1^t), correction = sqrt(1 - beta2^t).
 */
export function adam(
  parameter: usize,
  gradient: usize,
  mean: usize,
  variance: usize,
  elements: usize,
  stepSize: f64,
  beta1: f64,
  beta2: f64,
  correction: f64,
  eps: f64,
  weightDecay: f64,
  keep: f64,
  scale: f64,
): void {
  const step1 = <f32>stepSize,
    b1 = <f32>beta1,
    b2 = <f32>beta2,
    c1 = <f32>(1 - beta1),
    c2 = <f32>(1 - beta2);
  const correction1 = <f32>correction,
    eps1 = <f32>eps,
    decay1 = <f32>weightDecay,
    keep1 = <f32>keep,
    scale1 = <f32>scale;
  const step4 = f32x4.splat(step1),
    b14 = f32x4.splat(b1),
    b24 = f32x4.splat(b2),
    c14 = f32x4.splat(c1),
    c24 = f32x4.splat(c2);
  const correction4 = f32x4.splat(correction1),
    eps4 = f32x4.splat(eps1),
    decay4 = f32x4.splat(decay1);
  const keep4 = f32x4.splat(keep1),
    scale4 = f32x4.splat(scale1);
  let i: usize = 0;
  for (; i + LANES <= elements; i += LANES) {
    const at = i << 2;
    const q = f32x4.mul(v128.load(parameter + at), keep4);
    const g = f32x4.add(f32x4.mul(v128.load(gradient + at), scale4), f32x4.mul(decay4, q));
    const m = f32x4.add(f32x4.mul(b14, v128.load(mean + at)), f32x4.mul(c14, g));
    const v = f32x4.add(f32x4.mul(b24, v128.load(variance + at)), f32x4.mul(c24, f32x4.mul(g, g)));
    v128.store(mean + at, m);
    v128.store(variance + at, v);
    const denominator = f32x4.add(f32x4.div(f32x4.sqrt(v), correction4), eps4);
    v128.store(parameter + at, f32x4.sub(q, f32x4.mul(step4, f32x4.div(m, denominator))));
  }
  for (; i < elements; i++) {
    const at = i << 2;
    const q: f32 = load<f32>(parameter + at) * keep1;
    const g: f32 = load<f32>(gradient + at) * scale1 + decay1 * q;
    const m: f32 = b1 * load<f32>(mean + at) + c1 * g;
    const v: f32 = b2 * load<f32>(variance + at) + c2 * (g * g);
    store<f32>(mean + at, m);
    store<f32>(variance + at, v);
    const denominator: f32 = sqrt<f32>(v) / correction1 + eps1;
    store<f32>(parameter + at, q - step1 * (m / denominator));
  }
}

/**
 * The sum of squares in float64. Four running sums (elements 0, 1, 2, 3 modulo 4), added as (0 + 2) + (1 + 3),
 * then the rest in order: the same on every machine.
 */
export function sumOfSquares(values: usize, elements: usize): f64 {
  let low = f64x2.splat(0),
    high = f64x2.splat(0);
  let i: usize = 0;
  for (; i + LANES <= elements; i += LANES) {
    const four = v128.load(values + (i << 2));
    const a = f64x2.promote_low_f32x4(four);
    const b = f64x2.promote_low_f32x4(v128.shuffle<i32>(four, four, 2, 3, 2, 3));
    low = f64x2.add(low, f64x2.mul(a, a));
    high = f64x2.add(high, f64x2.mul(b, b));
  }
  const both = f64x2.add(low, high);
  let sum: f64 = f64x2.extract_lane(both, 0) + f64x2.extract_lane(both, 1);
  for (; i < elements; i++) {
    const value: f64 = <f64>load<f32>(values + (i << 2));
    sum += value * value;
  }
  return sum;
}
