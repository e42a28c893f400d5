import fc from 'fast-check';
import t from 'tap';
import { differentiability } from '../../../graph/gradient/index.js';
import {
  buildTrainingGraph,
  evaluate,
  fromReference,
  isFloat,
  standardOperators,
  toReference,
  writeTypedGraph,
  type Graph,
  type Tensor,
  type TrainingGraph,
} from '../../../graph/index.js';
import { ACTIVATION_TRIALS } from './activation-trials.js';
import { Draw, keyOf, type Trial } from './draw.js';
import { LOSS_TRIALS } from './loss-trials.js';
import { MICROSOFT_TRIALS } from './microsoft-trials.js';
import { NORMALIZATION_TRIALS } from './normalization-trials.js';
import { distance, runModel } from './onnxruntime.js';

const RUNS = 3;
const TOLERANCE = 2e-3;
const trials: Readonly<Record<string, (draw: Draw) => Trial>> = {
  ...ACTIVATION_TRIALS,
  ...LOSS_TRIALS,
  ...MICROSOFT_TRIALS,
  ...NORMALIZATION_TRIALS,
};

type Float = 'float16' | 'float32' | 'float64';

/** A tensor with its floats in another type; others stay. */
function inType(tensor: Tensor, dtype: Float): Tensor {
  return isFloat(tensor.dtype) ? fromReference({ ...toReference(tensor), dtype }) : tensor;
}

/** A model of one node whose float operands are parameters, and everything that its step is given. */
function stepOf(operator: string, domain: string, trial: Trial, seed: number, dtype: Float): Step {
  const parameters = new Map<string, Tensor>();
  const constants = new Map<string, Tensor>();
  const inputs = trial.inputs.map((tensor, i) => {
    if (!tensor) return '';
    (isFloat(tensor.dtype) ? parameters : constants).set(`x${i}`, inType(tensor, dtype));
    return `x${i}`;
  });
  const { outputs = 1, attributes = {} } = trial;
  const names =
    typeof outputs === 'number' ? Array.from({ length: outputs }, (_, i) => `y${i}`) : [...outputs];
  const model: Graph = {
    name: 'one',
    inputs: [],
    outputs: [{ name: names[0]!, dtype, shape: [] }],
    nodes: [{ name: 'node', operator, domain, inputs, outputs: names, attributes }],
    parameters,
    constants,
  };
  const training = buildTrainingGraph(model, { loss: 'mse' });
  const draw = new Draw(seed);
  const given = training.graph.inputs.map((name) => {
    const { shape } = training.graph.types.get(name)!;
    return [name, inType(draw.floats(shape, 0.5, 1.5), dtype)] as const;
  });
  const used = [...parameters].filter(([name]) => training.graph.parameters.has(name));
  return { training, feeds: new Map([...used, ...given]) };
}

interface Step {
  readonly training: TrainingGraph;
  readonly feeds: ReadonlyMap<string, Tensor>;
}

/** The loss and gradients of a float32 step in onnxruntime against those of a float64 one here. */
async function compare(operator: string, domain: string, trial: Trial, seed: number): Promise<void> {
  const single = stepOf(operator, domain, trial, seed, 'float32');
  const double = stepOf(operator, domain, trial, seed, 'float64');
  const theirs = await runModel(writeTypedGraph(single.training.graph), single.feeds);
  const ours = evaluate(
    double.training.graph,
    new Map([...double.feeds].map(([name, tensor]) => [name, toReference(tensor)])),
  );
  const valuesOf = ({ loss, gradients }: TrainingGraph) => new Map([['loss', loss], ...gradients]);
  const wanted = valuesOf(double.training);
  for (const [name, output] of valuesOf(single.training)) {
    const [a, b] = [theirs.get(output)!, ours.get(wanted.get(name)!)!];
    if (distance(a, b) > TOLERANCE) {
      throw new Error(`${name}: onnxruntime gives [${a.data.join()}], float64 [${b.data.join()}]`);
    }
  }
}

for (const { operator, domain } of standardOperators.all()) {
  const make = trials[keyOf({ operator, domain })];
  const node = { operator, domain, attributes: {}, name: '', inputs: [], outputs: [''] };
  if (!make || differentiability(node)?.kind === 'stop') continue;
  t.test(`a step of ${keyOf(node)} runs in onnxruntime as it does in float64`, async () => {
    const property = fc.asyncProperty(fc.nat(), async (seed) =>
      compare(operator, domain, make(new Draw(seed)), seed),
    );
    await fc.assert(property, { numRuns: RUNS, includeErrorInReport: true });
  });
  t.test(
    `a step of ${keyOf(node)} in float16 has standard operators and its parameters' types`,
    async (t) => {
      const { training } = stepOf(operator, domain, make(new Draw(1)), 1, 'float16');
      t.ok(training.graph.nodes.every((each) => each.domain === ''));
      for (const output of training.gradients.values()) {
        t.equal(training.graph.types.get(output)!.dtype, 'float16');
      }
    },
  );
}
