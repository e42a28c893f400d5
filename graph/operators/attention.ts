import type { TensorType } from '../ir/tensor.js';
import { ATTENTION, attentionForm, MASKED, type AttentionForm } from './attention-form.js';
import { broadcastTo } from './binary.js';
import type { OperatorDefinition, Reference } from './definition.js';
import { define, operand, valueOf } from './operands.js';

/** [batch, heads, places, features] as one buffer; from 3-D operands the heads are taken apart. */
interface Heads {
  readonly at: (n: number, head: number, place: number, feature: number) => number;
}

function headsOf({ shape, data }: Reference, flat: boolean, heads: number): Heads {
  const [, second, third, fourth] = shape as [number, number, number, number];
  if (!flat) return { at: (n, h, s, d) => data[((n * second + h) * third + s) * fourth + d]! };
  const features = third / heads;
  return { at: (n, h, s, d) => data[(n * second + s) * third + h * features + d]! };
}

/** The past's places, then the new ones: [batch, heads, places, features]. */
function joined(
  past: Reference | undefined,
  given: Reference,
  form: AttentionForm,
  features: number,
): Reference {
  const type = presentType(form, given, features);
  const [before, now] = [
    past && headsOf(past, false, form.keyHeads),
    headsOf(given, form.flat, form.keyHeads),
  ];
  let i = 0;
  const result = valueOf(type);
  for (let n = 0; n < form.batch; n++) {
    for (let h = 0; h < form.keyHeads; h++) {
      for (let s = 0; s < form.keys; s++) {
        for (let d = 0; d < features; d++) {
          result.data[i++] = s < form.past ? before!.at(n, h, s, d) : now.at(n, h, s - form.past, d);
        }
      }
    }
  }
  return result;
}

function presentType(
  { batch, keyHeads, keys }: AttentionForm,
  { dtype }: TensorType,
  features: number,
): TensorType {
  return { dtype, shape: [batch, keyHeads, keys, features] };
}

/**
 * ONNX's Attention: softmax(softcap(Q K' scale) + mask) V for each head, over the past's keys and the new ones.
 * Its outputs are Y in the form of Q, the keys and the values with the past in front, and the scores.
 */
const attention = define(
  'Attention',
  (node, inputs) => {
    const form = attentionForm(node, inputs);
    const { dtype } = operand(node, inputs, ATTENTION.Q);
    const { batch, queryHeads, queries, keys, features, valueFeatures, flat } = form;
    const shape = flat
      ? [batch, queries, queryHeads * valueFeatures]
      : [batch, queryHeads, queries, valueFeatures];
    return [
      { dtype, shape },
      presentType(form, operand(node, inputs, ATTENTION.K), features),
      presentType(form, operand(node, inputs, ATTENTION.V), valueFeatures),
      { dtype, shape: [batch, queryHeads, queries, keys] },
    ];
  },
  (node, inputs, types) => {
    const form = attentionForm(node, inputs);
    const { batch, queryHeads, keyHeads, queries, past, keys, features, valueFeatures, flat } = form;
    const keyValues = joined(inputs[ATTENTION.pastKey], operand(node, inputs, ATTENTION.K), form, features);
    const values = joined(
      inputs[ATTENTION.pastValue],
      operand(node, inputs, ATTENTION.V),
      form,
      valueFeatures,
    );
    const [q, k, v] = [
      headsOf(operand(node, inputs, ATTENTION.Q), flat, queryHeads),
      headsOf(keyValues, false, keyHeads),
      headsOf(values, false, keyHeads),
    ];
    const [y, scores] = [valueOf(types[0]!), valueOf(types[3]!)];
    const given = inputs[ATTENTION.mask];
    const mask = given && broadcastTo(given, scores.shape);
    const masked = (score: number, i: number, row: number, column: number) => {
      if (form.causal && column > row + past) return MASKED;
      if (!mask) return score;
      return given.dtype === 'bool' ? (mask[i] ? score : MASKED) : score + mask[i]!;
    };
    for (let n = 0; n < batch; n++) {
      for (let h = 0; h < queryHeads; h++) {
        const shared = Math.floor(h / (queryHeads / keyHeads));
        for (let s = 0; s < queries; s++) {
          const start = ((n * queryHeads + h) * queries + s) * keys;
          const row = Float64Array.from({ length: keys }, (_, t) => {
            let product = 0;
            for (let d = 0; d < features; d++) product += q.at(n, h, s, d) * k.at(n, shared, t, d);
            return product * form.scale;
          });
          const stages = [row];
          const capped = form.softcap > 0 ? row.map((x) => form.softcap * Math.tanh(x / form.softcap)) : row;
          stages[1] = capped;
          stages[2] = capped.map((x, t) => masked(x, start + t, s, t));
          const largest = stages[2].reduce((best, x) => Math.max(best, x), -Infinity);
          const powers = stages[2].map((x) => Math.exp(x - largest));
          const sum = powers.reduce((total, x) => total + x, 0);
          const weights = powers.map((x) => x / sum);
          stages[3] = weights;
          scores.data.set(stages[form.scoresAt]!, start);
          for (let d = 0; d < valueFeatures; d++) {
            const out = weights.reduce((total, weight, t) => total + weight * v.at(n, shared, t, d), 0);
            const at = flat
              ? (n * queries + s) * queryHeads * valueFeatures + h * valueFeatures + d
              : ((n * queryHeads + h) * queries + s) * valueFeatures + d;
            y.data[at] = out;
          }
        }
      }
    }
    return [y, keyValues, values, scores];
  },
);

export const attentionOperators: readonly OperatorDefinition[] = [attention];
