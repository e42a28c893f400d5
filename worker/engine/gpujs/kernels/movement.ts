import type { KernelRules } from '../kernel.js';

export const movementKernels: KernelRules = {};
