export { withParameters } from './inject.js';
export { loadModel, readModel, type Model, type ReadOptions } from './read.js';
export { writeGraph, writeTypedGraph } from './write.js';
