export { evaluate } from './evaluate.js';
export { fromReference, toReference } from './value.js';
