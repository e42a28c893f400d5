// Tries damaged models, one after the other: node fuzz-child.js FIRST_SEED RUNS
// Before each it writes a line with its seed, so that whoever waits can name the one that hangs or takes the memory.
import { writeSync } from 'node:fs';
import { UserError } from '../../../base/index.js';
import { bindGraph, buildTrainingGraph, readModel } from '../../../graph/index.js';
import { Draw } from './draw.js';
import { damaged, distorted, renumbered } from './mutations.js';
import { specimens } from './specimens.js';

const [first, runs] = process.argv.slice(2).map(Number) as [number, number];
const all = specimens();
let [read, bound, built, slowest, slowestSeed] = [0, 0, 0, 0, first];

for (let seed = first; seed < first + runs; seed++) {
  const draw = new Draw(seed);
  const { name, bytes, shapes } = draw.one(all);
  const mutation = draw.one([damaged, distorted, renumbered]);
  writeSync(1, `${JSON.stringify({ seed, name, mutation: mutation.name })}\n`);
  const started = performance.now();
  try {
    const { graph } = readModel(mutation(bytes, draw));
    read++;
    const binding = shapes ? { shapes } : { batch: 2 };
    bindGraph(graph, binding);
    bound++;
    buildTrainingGraph(graph, { loss: 'mse', ...binding });
    built++;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
  }
  const milliseconds = performance.now() - started;
  if (milliseconds > slowest) [slowest, slowestSeed] = [milliseconds, seed];
}
const { maxRSS } = process.resourceUsage();
writeSync(
  1,
  `${JSON.stringify({ read, bound, built, slowest, slowestSeed, peakMebibytes: maxRSS / 1024 })}\n`,
);
