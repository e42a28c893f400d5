import type { KernelRules } from '../kernel.js';

export const elementwiseKernels: KernelRules = {};
