import type { KernelRules } from '../kernel.js';

export const indexingKernels: KernelRules = {};
