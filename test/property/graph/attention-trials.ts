import { attribute, type Tensor } from '../../../graph/index.js';
import type { Draw, Trial } from './draw.js';

type Make = (draw: Draw) => Trial;

const { int, float } = attribute;

/** A mask that lets each query see the first key at least: bool, or numbers to add. */
function maskOf(draw: Draw, scores: readonly number[]): Tensor | undefined {
  const shape = draw.one([
    scores,
    scores.slice(2),
    [1, ...scores.slice(1)],
    [scores[0]!, 1, ...scores.slice(2)],
  ]);
  const keys = scores.at(-1)!;
  if (draw.flag()) return draw.flag() ? draw.floats(shape) : undefined;
  const mask = draw.bools(shape);
  return { ...mask, data: (mask.data as Uint8Array).map((bit, i) => (i % keys === 0 ? 1 : bit)) };
}

const attention =
  (joint: boolean): Make =>
  (draw) => {
    const [batch, keyHeads, groups] = [draw.between(1, 2), draw.between(1, 2), draw.between(1, 2)];
    const [queries, given, past] = [draw.between(1, 4), draw.between(1, 4), draw.one([0, 0, 1, 2])];
    const [features, valueFeatures] = [2 * draw.between(1, 2), 2 * draw.between(1, 2)];
    const heads = keyHeads * groups;
    const flat = draw.flag();
    const operand = (count: number, places: number, size: number) =>
      draw.floats(flat ? [batch, places, count * size] : [batch, count, places, size]);
    const mask = maskOf(draw, [batch, heads, queries, past + given]);
    // onnxruntime 1.30 now and then masks otherwise where there is a past
    const causal = !joint && past > 0 ? 0 : draw.below(2);
    const before = (size: number) => (past === 0 ? undefined : draw.floats([batch, keyHeads, past, size]));
    return {
      inputs: [
        operand(heads, queries, features),
        operand(keyHeads, given, features),
        operand(keyHeads, given, valueFeatures),
        mask,
        before(features),
        before(valueFeatures),
      ],
      outputs: past === 0 ? 1 : draw.one([3, 4]),
      attributes: {
        is_causal: int(causal),
        ...(flat ? { q_num_heads: int(heads), kv_num_heads: int(keyHeads) } : {}),
        ...(draw.flag() ? { scale: float(0.3 + draw.uniform()) } : {}),
        ...(draw.flag() ? { softcap: float(1 + draw.uniform()) } : {}),
        // masked scores are so low that no difference shows beside them
        qk_matmul_output_mode: int(
          draw.one(causal === 1 || mask?.dtype === 'bool' ? [0, 1, 3] : [0, 1, 2, 3]),
        ),
      },
    };
  };

export const ATTENTION_TRIALS: Readonly<Record<string, Make>> = { Attention: attention(false) };
/** For comparing the definition with its decomposition. */
export const JOINT_ATTENTION_TRIALS: Readonly<Record<string, Make>> = { Attention: attention(true) };
