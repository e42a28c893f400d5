import { activationOperators } from './activation.js';
import { attentionOperators } from './attention.js';
import { binaryOperators, chooseOperators } from './binary.js';
import { conversionOperators } from './conversion.js';
import { centerCropPadOperators } from './center-crop-pad.js';
import { convolutionOperators } from './convolution.js';
import { creationOperators } from './creation.js';
import { cumulativeOperators } from './cumulative.js';
import { einsumOperators } from './einsum.js';
import { gatherOperators } from './gather.js';
import { gridSampleOperators } from './grid-sample.js';
import { groupNormalizationOperators } from './group-normalization.js';
import { layoutOperators } from './layout.js';
import { lossOperators } from './loss.js';
import { matmulOperators } from './matmul.js';
import { microsoftOperators } from './microsoft.js';
import { movementOperators } from './movement.js';
import { normOperators } from './norm.js';
import { normPoolingOperators } from './norm-pooling.js';
import { normalizationOperators } from './normalization.js';
import { padOperators } from './pad.js';
import { poolingOperators } from './pooling.js';
import { recurrentOperators } from './recurrent.js';
import { reductionOperators } from './reduction.js';
import { OperatorRegistry } from './registry.js';
import { resizeOperators } from './resize.js';
import { scatterOperators } from './scatter.js';
import { selectionOperators } from './selection.js';
import { sequenceOperators } from './sequence.js';
import { spaceOperators } from './space.js';
import { unaryOperators } from './unary.js';
import { unpoolingOperators } from './unpooling.js';

/** Every operator that dtrain knows. */
export const standardOperators = new OperatorRegistry([
  ...unaryOperators,
  ...activationOperators,
  ...binaryOperators,
  ...chooseOperators,
  ...conversionOperators,
  ...reductionOperators,
  ...cumulativeOperators,
  ...layoutOperators,
  ...creationOperators,
  ...movementOperators,
  ...spaceOperators,
  ...sequenceOperators,
  ...resizeOperators,
  ...padOperators,
  ...centerCropPadOperators,
  ...gatherOperators,
  ...gridSampleOperators,
  ...scatterOperators,
  ...selectionOperators,
  ...matmulOperators,
  ...einsumOperators,
  ...convolutionOperators,
  ...poolingOperators,
  ...normPoolingOperators,
  ...unpoolingOperators,
  ...normalizationOperators,
  ...groupNormalizationOperators,
  ...normOperators,
  ...lossOperators,
  ...microsoftOperators,
  ...recurrentOperators,
  ...attentionOperators,
]);

export type { OperatorDefinition, Reference } from './definition.js';
export { OperatorRegistry } from './registry.js';
export { convolutionOf, transposedOf, type Convolution } from './convolution.js';
export { pooled } from './pooling.js';
export { spanOf, type Window } from './window.js';
