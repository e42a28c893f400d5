import type { Node } from '../../../../graph/index.js';
import type { KernelRule, KernelRules } from '../kernel.js';
import { elementwiseKernels } from './elementwise.js';
import { indexingKernels } from './indexing.js';
import { movementKernels } from './movement.js';
import { reductionKernels } from './reduction.js';

/** Every operator that this engine has kernels for. */
export const kernelRules: KernelRules = {
  ...elementwiseKernels,
  ...movementKernels,
  ...reductionKernels,
  ...indexingKernels,
};

/** The rule for `node`'s operator, where there is one. */
export function kernelRuleOf(node: Node): KernelRule | undefined {
  const name = node.domain === '' ? node.operator : `${node.domain}:${node.operator}`;
  return Object.hasOwn(kernelRules, name) ? kernelRules[name] : undefined;
}
