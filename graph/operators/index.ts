import { OperatorRegistry } from './registry.js';

/** Every operator that dtrain knows. */
export const standardOperators = new OperatorRegistry([]);

export type { OperatorDefinition, Reference } from './definition.js';
export { OperatorRegistry } from './registry.js';
