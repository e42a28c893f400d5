export { checkOperator, type CheckedElement, type OperatorUse } from './check.js';
export {
  defineOperator,
  isOperator,
  type KernelThis,
  type Operator,
  type OperatorOptions,
} from './define.js';
export {
  readOperator,
  titleOf as operatorTitle,
  writeOperator,
  type CustomNode,
  type CustomOperator,
  type OperatorText,
} from './definition.js';
export { excerpt, KernelError, OperatorError, type Position } from './errors.js';
export { runKernel } from './interpret.js';
export type { BooleanExpression, NumberExpression, OperatorKernel, Statement } from './kernel.js';
export { operatorsIn, readOperators, writeOperators } from './metadata.js';
export { ownCellOnly } from './meaning.js';
export { constantsOf, customOf, launchOf, withCustom, type Launch } from './node.js';
export { parseKernel } from './parse.js';
export { checkOperators } from './uses.js';
export { shapeBy, type ShapeRule } from './shape-rule.js';
