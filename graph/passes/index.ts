import type { TypedGraph } from '../ir/graph.js';
import { mergeCommonSubexpressions } from './common-subexpressions.js';
import { removeDeadCode } from './dead-code.js';
import { dropNeutralOperands, dropNoOps, joinReshapes, joinTransposes } from './needless.js';
import { foldBias, foldScale, foldTransposes, matMulToGemm } from './products.js';
import {
  recognizeGelu,
  recognizeGroupNormalization,
  recognizeLayerNormalization,
  recognizeRmsNormalization,
} from './recognize.js';
import { rewrite } from './rewrite.js';

export { mergeCommonSubexpressions } from './common-subexpressions.js';
export { removeDeadCode } from './dead-code.js';
export { parameterPlaces, subgraph } from './subgraph.js';
export {
  atomsOf,
  largeValue,
  splitLarge,
  UnsplittableError,
  whyUnsplittable,
  type Atom,
  type EdgePiece,
  type SplitEdge,
  type SplitGraph,
} from './split/index.js';
export { rewrite, type RewriteRule, type Site } from './rewrite.js';

const needless = [dropNoOps, joinReshapes, joinTransposes, dropNeutralOperands];
const recognizers = [
  recognizeLayerNormalization,
  recognizeRmsNormalization,
  recognizeGroupNormalization,
  recognizeGelu,
];
const products = [matMulToGemm, foldTransposes, foldBias, foldScale];

/**
 * The same function in fewer and larger operators; run it before differentiating, so that the backward pass is
 * short too. `outputs[i]` keeps its value (up to rounding), though perhaps not its name.
 */
export function simplify(typed: TypedGraph): TypedGraph {
  const cleaned = mergeCommonSubexpressions(rewrite(typed, needless));
  const recognized = removeDeadCode(rewrite(cleaned, recognizers));
  return tidy(rewrite(recognized, [...needless, ...products]));
}

/** Removes what a backward pass leaves over: equal expressions, chains of reshapes, foldable transposes. */
export function tidy(typed: TypedGraph): TypedGraph {
  const folded = rewrite(typed, [...needless, foldTransposes, foldBias, foldScale]);
  return removeDeadCode(mergeCommonSubexpressions(folded));
}
