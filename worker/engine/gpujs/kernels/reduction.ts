import type { KernelRules } from '../kernel.js';

export const reductionKernels: KernelRules = {};
