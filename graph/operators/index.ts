import { binaryOperators, chooseOperators } from './binary.js';
import { conversionOperators } from './conversion.js';
import { convolutionOperators } from './convolution.js';
import { creationOperators } from './creation.js';
import { gatherOperators } from './gather.js';
import { layoutOperators } from './layout.js';
import { matmulOperators } from './matmul.js';
import { movementOperators } from './movement.js';
import { normalizationOperators } from './normalization.js';
import { padOperators } from './pad.js';
import { poolingOperators } from './pooling.js';
import { recurrentOperators } from './recurrent.js';
import { reductionOperators } from './reduction.js';
import { OperatorRegistry } from './registry.js';
import { scatterOperators } from './scatter.js';
import { selectionOperators } from './selection.js';
import { unaryOperators } from './unary.js';

/** Every operator that dtrain knows. */
export const standardOperators = new OperatorRegistry([
  ...unaryOperators,
  ...binaryOperators,
  ...chooseOperators,
  ...conversionOperators,
  ...reductionOperators,
  ...layoutOperators,
  ...creationOperators,
  ...movementOperators,
  ...padOperators,
  ...gatherOperators,
  ...scatterOperators,
  ...selectionOperators,
  ...matmulOperators,
  ...convolutionOperators,
  ...poolingOperators,
  ...normalizationOperators,
  ...recurrentOperators,
]);

export type { OperatorDefinition, Reference } from './definition.js';
export { OperatorRegistry } from './registry.js';
