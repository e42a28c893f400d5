import { customOf, type Node } from '../../../../graph/index.js';
import type { CellRule, CellRules } from '../cell.js';
import type { KernelRule, KernelRules } from '../kernel.js';
import { customKernel } from './custom.js';
import { convolutionKernels } from './convolution.js';
import { elementwiseCells } from './elementwise.js';
import { groupNormalizationKernels } from './group-normalization.js';
import { indexingCells } from './indexing.js';
import { movementCells } from './movement.js';
import { normalizationKernels } from './normalization.js';
import { poolingKernels } from './pooling.js';
import { productKernelRules } from './product.js';
import { reductionKernels } from './reduction.js';
import { scatterKernels } from './scatter.js';
import { selectionCells, selectionKernels } from './selection.js';
import { softmaxKernels } from './softmax.js';
import { transposedConvolutionKernels } from './transposed-convolution.js';

export { inUsersTerms } from './custom.js';
export { indexedLengths } from './indexing.js';
export { keepsElements } from './elementwise.js';

/** Operators whose outputs are computed cell by cell, and joined with their like (fuse.ts). */
const cellRules: CellRules = {
  ...elementwiseCells,
  ...movementCells,
  ...indexingCells,
  ...selectionCells,
};

/** Operators that need launches of their own. */
const kernelRules: KernelRules = {
  ...convolutionKernels,
  ...groupNormalizationKernels,
  ...normalizationKernels,
  ...poolingKernels,
  ...productKernelRules,
  ...reductionKernels,
  ...scatterKernels,
  ...selectionKernels,
  ...softmaxKernels,
  ...transposedConvolutionKernels,
};

function nameOf({ operator, domain }: Pick<Node, 'operator' | 'domain'>): string {
  return domain === '' ? operator : `${domain}:${operator}`;
}

export function kernelRuleOf(node: Node): KernelRule | undefined {
  if (customOf(node)) return customKernel;
  const name = nameOf(node);
  return Object.hasOwn(kernelRules, name) ? kernelRules[name] : undefined;
}

export function cellRuleOf(node: Node): CellRule | undefined {
  const name = nameOf(node);
  return Object.hasOwn(cellRules, name) ? cellRules[name] : undefined;
}

/** Every operator that has a rule, by name. */
export const operatorsWithKernels: readonly string[] = [
  ...Object.keys(cellRules),
  ...Object.keys(kernelRules),
].sort();
