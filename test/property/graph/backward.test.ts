import fc from 'fast-check';
import t from 'tap';
import {
  evaluate,
  fromReference,
  GraphBuilder,
  sizeOf,
  standardOperators,
  toReference,
  writeTypedGraph,
  type Tensor,
} from '../../../graph/index.js';
import { withExplicitPads } from '../../../graph/bind/explicit.js';
import { decompose } from '../../../graph/decompose/index.js';
import { Formula } from '../../../graph/formula/index.js';
import { differentiability, differentiate } from '../../../graph/gradient/index.js';
import { ACTIVATION_TRIALS } from './activation-trials.js';
import { Draw, keyOf, type Trial } from './draw.js';
import { EINSUM_TRIALS } from './einsum-trials.js';
import { LOSS_TRIALS } from './loss-trials.js';
import { MICROSOFT_TRIALS } from './microsoft-trials.js';
import { MOVEMENT_TRIALS } from './movement-trials.js';
import { NORMALIZATION_TRIALS } from './normalization-trials.js';
import { distance, runModel } from './onnxruntime.js';
import { RESIZE_TRIALS } from './resize-trials.js';
import { TRIALS } from './trials.js';
import { WINDOW_TRIALS } from './window-trials.js';
import { isTried, runsOf } from '../trial-runs.js';

const RUNS = runsOf(6);
const trials: Readonly<Record<string, (draw: Draw) => Trial>> = {
  ...TRIALS,
  ...ACTIVATION_TRIALS,
  ...LOSS_TRIALS,
  ...MICROSOFT_TRIALS,
  ...NORMALIZATION_TRIALS,
  ...EINSUM_TRIALS,
  ...MOVEMENT_TRIALS,
  ...RESIZE_TRIALS,
  ...WINDOW_TRIALS,
};

/** The gradient divides by a deviation that float32 may leave nothing of. */
const ILL_CONDITIONED: ReadonlySet<string> = new Set(['MeanVarianceNormalization']);

/**
 * The forward pass as it is decomposed and its backward pass, in float32, in onnxruntime and in the reference: what
 * the rules write must not only be right but run.
 */
async function compare(key: string, trial: Trial): Promise<void> {
  const operator = key.slice(key.lastIndexOf('.') + 1);
  const domain = key.slice(0, Math.max(0, key.lastIndexOf('.')));
  const written = new GraphBuilder(standardOperators);
  const feeds = new Map<string, Tensor>();
  const inputs = trial.inputs.map((tensor, i) => {
    if (!tensor) return '';
    if (trial.known?.includes(i)) return written.constant(tensor);
    feeds.set(`x${i}`, tensor);
    return written.input(`x${i}`, tensor);
  });
  // as the binder does: what reaches an engine has its padding in numbers
  const { attributes } = withExplicitPads(
    { name: '', operator, domain, inputs, outputs: [], attributes: trial.attributes ?? {} },
    inputs.map((input) => (input === '' ? undefined : written.typeOf(input))),
  );
  const made = written.add(operator, inputs, attributes, { domain, outputs: trial.outputs ?? 1 });
  const lowered = decompose(
    written.build(
      'forward',
      made.filter((name) => name !== ''),
    ),
  );
  const builder = new GraphBuilder(standardOperators, lowered);
  const f = new Formula(builder);
  const [y] = lowered.outputs as [string];
  if (f.typeOf(y).dtype !== 'float32' || sizeOf(f.shapeOf(y)) === 0) return;
  const weights = Float64Array.from({ length: sizeOf(f.shapeOf(y)) }, (_, at) => Math.cos(1.3 * at + 0.4));
  const seed = builder.constant(fromReference({ dtype: 'float32', shape: f.shapeOf(y), data: weights }));
  const floats = [...feeds].filter(([, { dtype }]) => dtype === 'float32').map(([name]) => name);
  const found = differentiate(builder, lowered.nodes, new Map([[y, seed]]), floats);
  const outputs = [...new Set([...lowered.outputs, ...found.values()])];
  // an engine wants outputs that a node computes
  const named = outputs.map((value) => f.one('Identity', [value]));
  const whole = builder.build('backward', named);
  const ours = evaluate(whole, new Map([...feeds].map(([name, tensor]) => [name, toReference(tensor)])));
  const theirs = await runModel(writeTypedGraph(whole), feeds);
  for (const name of named) {
    const [a, b] = [ours.get(name)!, theirs.get(name)!];
    if (distance(a, b) > 1e-3) throw new Error(`we give [${a.data.join()}], onnxruntime [${b.data.join()}]`);
  }
}

for (const definition of standardOperators.all()) {
  const key = keyOf(definition);
  const make = trials[key];
  const known = differentiability({ ...definition, attributes: {}, name: '', inputs: [], outputs: [''] });
  // its mask is drawn when a training graph is built
  if (definition.operator === 'Dropout') continue;
  if (!make || !known || known.kind === 'stop' || ILL_CONDITIONED.has(key)) continue;
  if (!isTried(key)) continue;
  t.test(`the backward pass of ${key} runs in onnxruntime`, async () => {
    const property = fc.asyncProperty(fc.nat(), async (seed) => compare(key, make(new Draw(seed))));
    await fc.assert(property, { numRuns: RUNS, includeErrorInReport: true });
  });
}
