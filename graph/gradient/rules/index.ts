import { isDecomposed } from '../../decompose/index.js';
import { intAttribute, stringAttribute, type Node } from '../../ir/graph.js';
import type { Differentiability, RuleTable } from '../context.js';
import { activationRules } from './activations.js';
import { arithmeticRules, castKeepsGradient } from './arithmetic.js';
import { convolutionRules } from './convolution.js';
import { indexingRules } from './indexing.js';
import { PAD_MODES, layoutRules } from './layout.js';
import { matrixRules } from './matrix.js';
import { normalizationRules } from './normalization.js';
import { poolingRules } from './pooling.js';
import { reductionRules } from './reductions.js';

const rules: RuleTable = {
  ...activationRules,
  ...arithmeticRules,
  ...convolutionRules,
  ...indexingRules,
  ...layoutRules,
  ...matrixRules,
  ...normalizationRules,
  ...poolingRules,
  ...reductionRules,
};

/** Operators whose outputs are constant almost everywhere, or not numbers of the input's kind. */
const stops: ReadonlySet<string> = new Set([
  ...[
    'And',
    'Or',
    'Not',
    'Xor',
    'Equal',
    'Less',
    'LessOrEqual',
    'Greater',
    'GreaterOrEqual',
    'IsNaN',
    'IsInf',
  ],
  ...['Floor', 'Ceil', 'Round', 'Sign', 'ArgMax', 'ArgMin', 'NonZero', 'OneHot', 'EyeLike', 'QuantizeLinear'],
  ...[
    'Shape',
    'Size',
    'Range',
    'Constant',
    'ConstantOfShape',
    'RandomNormalLike',
    'RandomUniformLike',
    'Bernoulli',
  ],
]);

/** Forms of operators with a rule that the rule does not cover. */
const covers: Readonly<Record<string, (node: Node) => boolean>> = {
  Pad: (node) => PAD_MODES.has(stringAttribute(node, 'mode', 'constant')),
  GatherND: (node) => intAttribute(node, 'batch_dims', 0) === 0,
  ConvTranspose: (node) =>
    stringAttribute(node, 'auto_pad', 'NOTSET') === 'NOTSET' && node.attributes['output_shape'] === undefined,
  MaxPool: (node) => (node.outputs[1] ?? '') === '',
};

/** What is known of a node's derivative; undefined where nothing is. */
export function differentiability(node: Node): Differentiability | undefined {
  if (isDecomposed(node)) return { kind: 'decomposed' };
  if (node.domain !== '') return undefined;
  if (stops.has(node.operator)) return { kind: 'stop' };
  if (node.operator === 'Cast' && !castKeepsGradient(intAttribute(node, 'to', 0))) return { kind: 'stop' };
  const rule = rules[node.operator];
  if (!rule || covers[node.operator]?.(node) === false) return undefined;
  return { kind: 'rule', rule };
}

/** Names of the operators with a rule, sorted. */
export function differentiableOperators(): string[] {
  return Object.keys(rules).sort();
}
