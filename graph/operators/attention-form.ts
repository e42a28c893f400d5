import { ShapeError } from '../errors.js';
import { floatAttribute, intAttribute, type Node } from '../ir/graph.js';
import { formatType, isFloat, type TensorType } from '../ir/tensor.js';
import { operand, sameType } from './operands.js';
import { broadcastShapes } from './walk.js';

/** A score that takes no part: the lowest float32, so that a row without any other is not a division of 0 by 0. */
export const MASKED = -3.4028234663852886e38;

/** What an attention node computes, with its operands seen as [batch, heads, places, features]. */
export interface AttentionForm {
  readonly batch: number;
  readonly queryHeads: number;
  /** Divides queryHeads: each key and value serves as many heads of queries, one after the other. */
  readonly keyHeads: number;
  /** Places of the queries, of the keys that came before (`past_key`), and of all keys. */
  readonly queries: number;
  readonly past: number;
  readonly keys: number;
  readonly features: number;
  readonly valueFeatures: number;
  /** Whether the heads are side by side in the last axis of 3-D operands. */
  readonly flat: boolean;
  readonly scale: number;
  /** Whether a query sees only the keys up to its own place; the first query's is behind the past. */
  readonly causal: boolean;
  /** Scores are kept within it by tanh; 0 leaves them. */
  readonly softcap: number;
  /** What the fourth output holds: scores as multiplied, after the softcap, after the mask, or the weights. */
  readonly scoresAt: number;
}

export const ATTENTION = { Q: 0, K: 1, V: 2, mask: 3, pastKey: 4, pastValue: 5, lengths: 6 } as const;

/**
 * Reads ONNX's Attention (opsets 23 and 24, without the lengths of opset 24).
 * @throws ShapeError where an operand or attribute does not fit
 */
export function attentionForm(node: Node, inputs: readonly (TensorType | undefined)[]): AttentionForm {
  const [q, k, v] = [ATTENTION.Q, ATTENTION.K, ATTENTION.V].map((i) => operand(node, inputs, i, 'float')) as [
    TensorType,
    TensorType,
    TensorType,
  ];
  if (inputs[ATTENTION.lengths]) {
    throw new ShapeError(node, 'has nonpad_kv_seqlen (input 6); export a mask (input 3) instead');
  }
  const rank = q.shape.length;
  if ((rank !== 3 && rank !== 4) || k.shape.length !== rank || v.shape.length !== rank) {
    const found = [q, k, v].map(formatType).join(', ');
    throw new ShapeError(node, `Q, K and V are ${found}; all need 4 dimensions, or all 3`);
  }
  const flat = rank === 3;
  const heads = (name: string, type: TensorType): number => {
    const given = intAttribute(node, name, flat ? 0 : type.shape[1]!);
    if (given > 0 && (flat ? type.shape[2]! % given === 0 : given === type.shape[1])) return given;
    throw new ShapeError(node, `${name} is ${given}, which does not fit ${formatType(type)}`);
  };
  const queryHeads = heads('q_num_heads', q);
  const keyHeads = heads('kv_num_heads', k);
  if (queryHeads % keyHeads !== 0) {
    throw new ShapeError(
      node,
      `${queryHeads} heads of queries cannot share ${keyHeads} heads of keys evenly`,
    );
  }
  const part = (type: TensorType, count: number) =>
    flat
      ? [type.shape[0]!, count, type.shape[1]!, type.shape[2]! / count]
      : (type.shape as [number, number, number, number]);
  const [batch, , queries, features] = part(q, queryHeads) as [number, number, number, number];
  const [, , newKeys, keyFeatures] = part(k, keyHeads) as [number, number, number, number];
  const [, , newValues, valueFeatures] = part(v, keyHeads) as [number, number, number, number];
  if (k.shape[0] !== batch || v.shape[0] !== batch || keyFeatures !== features || newValues !== newKeys) {
    const found = [q, k, v].map(formatType).join(', ');
    throw new ShapeError(node, `Q, K and V are ${found}; batch, keys' features or places differ`);
  }
  const past = pastOf(node, inputs, [batch, keyHeads, features, valueFeatures]);
  const keys = past + newKeys;
  checkMask(node, inputs, [batch, queryHeads, queries, keys]);
  const scoresAt = intAttribute(node, 'qk_matmul_output_mode', 0);
  if (scoresAt < 0 || scoresAt > 3) {
    throw new ShapeError(node, `qk_matmul_output_mode is ${scoresAt}; 0 to 3 would be accepted`);
  }
  return {
    batch,
    queryHeads,
    keyHeads,
    queries,
    past,
    keys,
    features,
    valueFeatures,
    flat,
    scale: floatAttribute(node, 'scale', 1 / Math.sqrt(features)),
    causal: intAttribute(node, 'is_causal', 0) === 1,
    softcap: floatAttribute(node, 'softcap', 0),
    scoresAt,
  };
}

/** How many places the past has; it comes as keys and values, or not at all. */
function pastOf(
  node: Node,
  inputs: readonly (TensorType | undefined)[],
  [batch, heads, features, valueFeatures]: readonly [number, number, number, number],
): number {
  const [key, value] = [inputs[ATTENTION.pastKey], inputs[ATTENTION.pastValue]];
  if (!key && !value) return 0;
  const places = key?.shape[2] ?? 0;
  const wanted = [
    [batch, heads, places, features],
    [batch, heads, places, valueFeatures],
  ];
  [key, value].forEach((type, i) => {
    if (type?.shape.length === 4 && type.shape.every((dim, axis) => dim === wanted[i]![axis])) return;
    throw new ShapeError(
      node,
      `input ${ATTENTION.pastKey + i} (${i === 0 ? 'past_key' : 'past_value'}) is ${type ? formatType(type) : 'missing'}; [${wanted[i]!.join(', ')}] would be accepted`,
    );
  });
  return places;
}

function checkMask(node: Node, inputs: readonly (TensorType | undefined)[], scores: readonly number[]): void {
  const mask = inputs[ATTENTION.mask];
  if (!mask) return;
  if (isFloat(mask.dtype)) sameType(node, operand(node, inputs, 0), mask, ATTENTION.mask);
  const fits = mask.dtype === 'bool' || isFloat(mask.dtype);
  if (fits && mask.shape.length <= 4) {
    const common = broadcastShapes(node, [mask.shape, scores]);
    if (common.every((dim, axis) => dim === scores[axis])) return;
  }
  throw new ShapeError(
    node,
    `attn_mask is ${formatType(mask)}; bool or floats that broadcast to [${scores.join(', ')}] would be accepted`,
  );
}
