export { withParameters } from './inject.js';
export { onePiece } from './one-piece.js';
export { loadModel, readModel, type Model, type ReadOptions } from './read.js';
export { writeGraph, writeTypedGraph } from './write.js';
