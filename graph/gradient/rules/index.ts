import { isDecomposed } from '../../decompose/index.js';
import { customOf } from '../../custom/node.js';
import { intAttribute, type Node } from '../../ir/graph.js';
import { stopsGradient } from '../../ir/stop-gradient.js';
import type { Differentiability, RuleTable } from '../context.js';
import { activationRules } from './activations.js';
import { arithmeticRules, castKeepsGradient } from './arithmetic.js';
import { convolutionRules } from './convolution.js';
import { customRule } from './custom.js';
import { groupNormalizationRules } from './group-normalization.js';
import { indexingRules } from './indexing.js';
import { layoutRules } from './layout.js';
import { matrixRules } from './matrix.js';
import { normalizationRules } from './normalization.js';
import { padRules } from './pad.js';
import { poolingRules } from './pooling.js';
import { reductionRules } from './reductions.js';
import { scatterRules } from './scatter.js';

const rules: RuleTable = {
  ...activationRules,
  ...arithmeticRules,
  ...convolutionRules,
  ...groupNormalizationRules,
  ...indexingRules,
  ...layoutRules,
  ...matrixRules,
  ...normalizationRules,
  ...padRules,
  ...poolingRules,
  ...reductionRules,
  ...scatterRules,
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
  ...['Floor', 'Ceil', 'Round', 'Sign', 'ArgMax', 'ArgMin', 'NonZero', 'EyeLike', 'QuantizeLinear'],
  ...['BitShift', 'BitwiseAnd', 'BitwiseNot', 'BitwiseOr', 'BitwiseXor', 'Hardmax'],
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

/** What is known of a node's derivative; undefined where nothing is. */
export function differentiability(node: Node): Differentiability | undefined {
  // a Dropout becomes a product with a mask when the training graph is built
  if (isDecomposed(node) || (node.operator === 'Dropout' && node.domain === ''))
    return { kind: 'decomposed' };
  const custom = customOf(node);
  if (custom) return custom.part === 'forward' ? { kind: 'rule', rule: customRule } : undefined;
  if (node.domain !== '') return undefined;
  if (stops.has(node.operator) || stopsGradient(node)) return { kind: 'stop' };
  if (node.operator === 'Cast' && !castKeepsGradient(intAttribute(node, 'to', 0))) return { kind: 'stop' };
  const rule = rules[node.operator];
  return rule ? { kind: 'rule', rule } : undefined;
}

/** Names of the operators with a rule, sorted. */
export function differentiableOperators(): string[] {
  return Object.keys(rules).sort();
}
