export { GradientContext, type GradientRule } from './context.js';
export { differentiate, reachable, unsupportedOperators, type UnsupportedOperator } from './differentiate.js';
export { differentiability, differentiableOperators } from './rules/index.js';
export { batchStatistics } from './rules/normalization.js';
export { convolutionForms, type ConvolutionForm } from './rules/convolution-forms.js';
