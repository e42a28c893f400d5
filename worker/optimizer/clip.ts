/**
 * Clipping by the global norm: every gradient of the model is multiplied by one factor, so that the norm of all of
 * them together is at most `maxNorm`. Each rank sums the squares of its own shard; the sum over the ranks is what
 * all of them compute the same factor from.
 *
 * As torch.nn.utils.clip_grad_norm_: maxNorm / (norm + 1e-6), at most 1. A norm that is not finite gives a factor
 * of NaN or 0: check the norm before applying it.
 *
 * @param totalSquares the sum of squares of all gradients of the model
 */
export function clipFactor(totalSquares: number, maxNorm: number): number {
  return Math.min(1, maxNorm / (Math.sqrt(totalSquares) + 1e-6));
}
