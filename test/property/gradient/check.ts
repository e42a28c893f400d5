import {
  evaluate,
  GraphBuilder,
  sizeOf,
  standardOperators,
  type Attributes,
  type DataType,
  type Reference,
} from '../../../graph/index.js';
import { decompose } from '../../../graph/decompose/index.js';
import { Formula } from '../../../graph/formula/index.js';
import { differentiate } from '../../../graph/gradient/index.js';

/** An input of the operator under test. */
export interface Operand {
  readonly shape: readonly number[];
  readonly values: readonly number[];
  /** float64 operands are differentiated by, others are inputs; a constant is neither. */
  readonly dtype?: DataType;
  readonly constant?: boolean;
}

export interface Case {
  readonly operator: string;
  readonly operands: readonly (Operand | undefined)[];
  readonly attributes?: Attributes;
  readonly outputs?: number | readonly string[];
  /** Absent: ai.onnx. */
  readonly domain?: string;
  /** Outputs through which nothing is differentiated. */
  readonly exempt?: readonly number[];
}

/**
 * The largest difference, relative to the gradient's size, between a rule's gradients and central differences of
 * the operator's own float64 definition, for the scalar sum(weights * outputs) with fixed weights. An operator that
 * is decomposed is differentiated in its decomposed form, so that this checks the decomposition too.
 */
export function gradientError(
  { operator, operands, attributes = {}, outputs = 1, domain = '', exempt = [] }: Case,
  step = 1e-5,
): number {
  const written = new GraphBuilder(standardOperators);
  const values = new Map<string, Reference>();
  const wrt: string[] = [];
  const inputs = operands.map((operand, i) => {
    if (!operand) return '';
    const { dtype = 'float64', shape } = operand;
    if (operand.constant) return new Formula(written).constant(dtype, shape, operand.values);
    const name = `x${i}`;
    written.input(name, { dtype, shape });
    values.set(name, { dtype, shape, data: Float64Array.from(operand.values) });
    if (dtype === 'float64') wrt.push(name);
    return name;
  });
  const made = written.add(operator, inputs, attributes, { domain, outputs });
  const forward = written.build(
    'forward',
    made.filter((output) => output !== ''),
  );
  const smooth = forward.outputs
    .map((_, i) => i)
    .filter((i) => !exempt.includes(i) && forward.types.get(forward.outputs[i]!)!.dtype === 'float64');
  const weights = smooth.map((i) =>
    Float64Array.from({ length: sizeOf(forward.types.get(forward.outputs[i]!)!.shape) }, (_, at) =>
      Math.cos(1.3 * at + i + 0.4),
    ),
  );
  const lossAt = (changed: ReadonlyMap<string, Reference>) => {
    const results = evaluate(forward, changed);
    return smooth.reduce((sum, i, at) => {
      const { data } = results.get(forward.outputs[i]!)!;
      return data.reduce((total, value, j) => total + value * weights[at]![j]!, sum);
    }, 0);
  };

  const lowered = decompose(forward);
  const builder = new GraphBuilder(standardOperators, lowered);
  const f = new Formula(builder);
  const seeds = new Map(
    smooth.map((i, at) => {
      const result = lowered.outputs[i]!;
      return [result, f.constant('float64', f.shapeOf(result), weights[at]!)] as const;
    }),
  );
  const found = differentiate(builder, lowered.nodes, seeds, wrt);
  const backward = evaluate(builder.build('backward', [...found.values()]), values);

  let worst = 0;
  for (const name of wrt) {
    const input = values.get(name)!;
    const gradient = found.get(name);
    const analytic = gradient === undefined ? undefined : backward.get(gradient)!.data;
    for (let i = 0; i < input.data.length; i++) {
      const moved = (by: number) => {
        const data = Float64Array.from(input.data);
        data[i] = data[i]! + by;
        return lossAt(new Map(values).set(name, { ...input, data }));
      };
      const numeric = (moved(step) - moved(-step)) / (2 * step);
      const error = Math.abs(numeric - (analytic?.[i] ?? 0)) / Math.max(1, Math.abs(numeric));
      worst = Number.isNaN(error) ? Infinity : Math.max(worst, error);
    }
  }
  return worst;
}
