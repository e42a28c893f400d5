/**
 * Writes a GPT with about 100 million parameters and seeded first values as an ONNX file: the large model of
 * bench/gpu, the same as `gpt-100m` of bench/torch-step.py.
 *
 * usage: node dist/bench/gpt-100m.js FILE.onnx
 */
import { writeFileSync } from 'node:fs';
import { writeGraph } from '../graph/index.js';
import { gpt } from '../graph/nn/index.js';

const path = process.argv[2];
if (path === undefined) {
  console.error('usage: node dist/bench/gpt-100m.js FILE.onnx');
  process.exit(2);
}
const { graph, parameterCount } = gpt({ vocabulary: 8192, context: 256, width: 768, heads: 12, layers: 12 });
writeFileSync(path, writeGraph(graph));
console.log(JSON.stringify({ path, parameters: parameterCount }));
