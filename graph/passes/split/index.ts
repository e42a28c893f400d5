export { atomsOf } from './atoms.js';
export { UnsplittableError } from './errors.js';
export type { Atom } from './rule.js';
export {
  largeValue,
  splitLarge,
  whyUnsplittable,
  type EdgePiece,
  type SplitEdge,
  type SplitGraph,
} from './split-large.js';
