export { takesValue, withParameters } from './inject.js';
export { onePiece } from './one-piece.js';
export { loadModel, readModel, type Model, type ReadOptions } from './read.js';
export { NEWEST_OPSET, OLDEST_OPSET } from './normalize.js';
export { writeGraph, writeTypedGraph } from './write.js';
