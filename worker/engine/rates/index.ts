export { productGraph } from './graphs.js';
export { measureRates, throttled } from './measure.js';
export { largestWithin } from './stopwatch.js';
