import fc from 'fast-check';
import t from 'tap';
import {
  evaluate,
  formatType,
  GraphBuilder,
  standardOperators,
  toReference,
  writeTypedGraph,
  type Tensor,
} from '../../../graph/index.js';
import { ALL_TRIALS } from './all-trials.js';
import { Draw, keyOf, type Trial } from './draw.js';
import { distance, runModel } from './onnxruntime.js';
import { RECURRENT_TRIALS } from './recurrent-trials.js';
import { isTried, runsOf } from '../trial-runs.js';

const RUNS = runsOf(12);
const trials = { ...ALL_TRIALS, ...RECURRENT_TRIALS };

/** Runs one node in the reference evaluator and in onnxruntime; the worst distance, or a difference of types. */
async function compare(key: string, trial: Trial): Promise<void> {
  const operator = key.slice(key.lastIndexOf('.') + 1);
  const domain = key.slice(0, Math.max(0, key.lastIndexOf('.')));
  const builder = new GraphBuilder(standardOperators);
  const feeds = new Map<string, Tensor>();
  const inputs = trial.inputs.map((tensor, i) => {
    if (!tensor) return '';
    if (trial.known?.includes(i)) return builder.constant(tensor);
    feeds.set(`x${i}`, tensor);
    return builder.input(`x${i}`, tensor);
  });
  const made = builder.add(operator, inputs, trial.attributes, { domain, outputs: trial.outputs ?? 1 });
  const outputs = made.filter((name) => name !== '');
  const typed = builder.build('trial', outputs);
  const ours = evaluate(typed, new Map([...feeds].map(([name, tensor]) => [name, toReference(tensor)])));
  const theirs = await runModel(writeTypedGraph(typed), feeds);
  for (const name of outputs) {
    const [a, b] = [ours.get(name)!, theirs.get(name)!];
    if (formatType(a) !== formatType(b))
      throw new Error(`we give ${formatType(a)}, onnxruntime ${formatType(b)}`);
    if (distance(a, b) > 1e-4) throw new Error(`we give [${a.data.join()}], onnxruntime [${b.data.join()}]`);
  }
}

for (const [key, make] of Object.entries(trials)) {
  if (!isTried(key)) continue;
  t.test(`${key} means what onnxruntime makes of it`, async () => {
    const property = fc.asyncProperty(fc.nat(), async (seed) => compare(key, make(new Draw(seed))));
    await fc.assert(property, { numRuns: RUNS, includeErrorInReport: true });
  });
}

t.test('no operator is without a trial', (t) => {
  const untried = standardOperators
    .all()
    .map(keyOf)
    .filter((key) => !(key in trials));
  t.same(untried, ['Constant'], 'Constant never reaches a typed graph');
  t.end();
});
