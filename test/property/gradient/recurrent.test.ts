import fc from 'fast-check';
import t from 'tap';
import { decompose } from '../../../graph/decompose/index.js';
import {
  evaluate,
  GraphBuilder,
  standardOperators,
  toReference,
  type Reference,
} from '../../../graph/index.js';
import { Draw, type Trial } from '../graph/draw.js';
import { distance } from '../graph/onnxruntime.js';
import { JOINT_ATTENTION_TRIALS } from '../graph/attention-trials.js';
import { BATCH_FIRST_TRIALS, RECURRENT_TRIALS } from '../graph/recurrent-trials.js';
import { gradientError } from './check.js';

const RUNS = 25;

/** The distance between what a node means and what its smaller operators compute, over all outputs. */
function writtenError(operator: string, { inputs, attributes = {}, outputs = 1 }: Trial): number {
  const builder = new GraphBuilder(standardOperators);
  const values = new Map<string, Reference>();
  const names = inputs.map((tensor, i) => {
    if (!tensor) return '';
    // in float64, so that constants are not rounded
    const dtype = tensor.dtype === 'float32' ? 'float64' : tensor.dtype;
    values.set(`x${i}`, { ...toReference(tensor), dtype });
    return builder.input(`x${i}`, { dtype, shape: tensor.shape });
  });
  const typed = builder.build('whole', builder.add(operator, names, attributes, { outputs }));
  const unrolled = decompose(typed);
  const [whole, steps] = [evaluate(typed, values), evaluate(unrolled, values)];
  const errors = typed.outputs.map((name, i) => distance(whole.get(name)!, steps.get(unrolled.outputs[i]!)!));
  return Math.max(...errors);
}

const TABLES = {
  'steps first': RECURRENT_TRIALS,
  'batch first': BATCH_FIRST_TRIALS,
  joint: JOINT_ATTENTION_TRIALS,
};

for (const [form, trials] of Object.entries(TABLES)) {
  for (const [operator, make] of Object.entries(trials)) {
    t.test(`${operator} (${form}) written out is ${operator}`, (t) => {
      const property = fc.property(fc.nat(), (seed) => {
        const error = writtenError(operator, make(new Draw(seed)));
        if (error > 1e-12) throw new Error(`the error is ${error}`);
      });
      fc.assert(property, { numRuns: RUNS, includeErrorInReport: true });
      t.end();
    });

    t.test(`${operator} (${form}) has the gradient that differences show`, (t) => {
      const property = fc.property(fc.nat(), (seed) => {
        const { inputs, attributes = {}, outputs = 1 } = make(new Draw(seed));
        const operands = inputs.map(
          (tensor) =>
            tensor && {
              shape: tensor.shape,
              dtype: tensor.dtype === 'float32' ? ('float64' as const) : tensor.dtype,
              values: [...toReference(tensor).data],
            },
        );
        const node = { operator, operands, attributes, outputs };
        // where a kink lies within the difference, a smaller one tells the slope
        const error = Math.min(gradientError(node), gradientError(node, 1e-7));
        if (error > 1e-5) throw new Error(`the error is ${error}`);
      });
      fc.assert(property, { numRuns: RUNS, includeErrorInReport: true });
      t.end();
    });
  }
}
