const SCALE = 2 / Math.sqrt(Math.PI);

/**
 * The error function to about 1e-15, for every finite x, NaN and the infinities.
 *
 * erf(x) = 2/sqrt(pi) exp(-x^2) sum over n of 2^n x^(2n+1) / (2n+1)!! (Abramowitz and Stegun 7.1.6):
 * all terms have one sign, so nothing cancels. Beyond 6 the result rounds to 1.
 */
export function erf(x: number): number {
  if (Number.isNaN(x)) return NaN;
  const magnitude = Math.abs(x);
  if (magnitude > 6) return Math.sign(x);
  const square = magnitude * magnitude;
  let term = magnitude;
  let sum = magnitude;
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= (2 * square) / (2 * n + 1);
    sum += term;
  }
  return Math.sign(x) * SCALE * Math.exp(-square) * sum;
}
