import type { NodeFormula } from '../formula/index.js';
import { ATTENTION, attentionForm, MASKED, type AttentionForm } from '../operators/attention-form.js';
import type { Decomposition, DecompositionTable } from './table.js';

/** Scores, weights and their sum by two products; the mask of is_causal is compared, not stored. */
const attention: Decomposition = (d) => {
  const form = attentionForm(
    d.node,
    d.node.inputs.map((input) => (input === '' ? undefined : d.typeOf(input))),
  );
  const { queryHeads, keyHeads, features, valueFeatures, flat, softcap, batch, queries } = form;
  const q = headsApart(d, d.input(ATTENTION.Q), form, queryHeads, features);
  const present = (input: number, past: number, size: number) => {
    const given = headsApart(d, d.input(input), form, keyHeads, size);
    return d.hasInput(past) ? d.concat([d.input(past), given], 2) : given;
  };
  const keys = present(ATTENTION.K, ATTENTION.pastKey, features);
  const values = present(ATTENTION.V, ATTENTION.pastValue, valueFeatures);
  const scores = d.matmul(d.mul(q, form.scale), d.transposeLast(repeated(d, keys, form, features)));
  const capped = softcap > 0 ? d.mul(d.tanh(d.div(scores, softcap)), softcap) : scores;
  const masked = withMasks(d, capped, form);
  const weights = d.unary('Softmax', masked);
  const y = d.matmul(weights, repeated(d, values, form, valueFeatures));
  return [
    flat ? d.reshape(d.transpose(y, [0, 2, 1, 3]), [batch, queries, queryHeads * valueFeatures]) : y,
    d.hasOutput(1) ? keys : '',
    d.hasOutput(2) ? values : '',
    d.hasOutput(3) ? [scores, capped, masked, weights][form.scoresAt]! : '',
  ];
};

/** [batch, heads, places, size] */
function headsApart(
  d: NodeFormula,
  x: string,
  { flat, batch }: AttentionForm,
  heads: number,
  size: number,
): string {
  if (!flat) return x;
  return d.transpose(d.reshape(x, [batch, d.shapeOf(x)[1]!, heads, size]), [0, 2, 1, 3]);
}

/** Keys or values once for each head of queries. */
function repeated(d: NodeFormula, x: string, form: AttentionForm, size: number): string {
  const { batch, queryHeads, keyHeads, keys } = form;
  const groups = queryHeads / keyHeads;
  if (groups === 1) return x;
  const apart = d.reshape(x, [batch, keyHeads, 1, keys, size]);
  return d.reshape(d.expandTo(apart, [batch, keyHeads, groups, keys, size]), [batch, queryHeads, keys, size]);
}

function withMasks(d: NodeFormula, scores: string, { causal, queries, keys, past }: AttentionForm): string {
  let masked = scores;
  if (d.hasInput(ATTENTION.mask)) {
    const mask = d.input(ATTENTION.mask);
    masked = d.typeOf(mask).dtype === 'bool' ? d.where(mask, masked, MASKED) : d.add(masked, mask);
  }
  if (!causal) return masked;
  const places = (count: number, from: number) => Array.from({ length: count }, (_, i) => i + from);
  const row = d.constant('int64', [queries, 1], places(queries, past + 1));
  const column = d.constant('int64', [1, keys], places(keys, 0));
  return d.where(d.less(column, row), masked, MASKED);
}

export const attentions: DecompositionTable = { Attention: attention };
