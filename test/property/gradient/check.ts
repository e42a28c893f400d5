import {
  evaluate,
  GraphBuilder,
  sizeOf,
  standardOperators,
  type Attributes,
  type DataType,
  type Reference,
} from '../../../graph/index.js';
import { Formula, differentiate } from '../../../graph/gradient/index.js';
import { removeDeadCode } from '../../../graph/passes/index.js';

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
  readonly outputs?: number;
}

/**
 * The largest difference, relative to the gradient's size, between a rule's gradients and central differences of
 * the float64 evaluator, for the scalar sum(weights * outputs) with fixed weights.
 */
export function gradientError(
  { operator, operands, attributes = {}, outputs = 1 }: Case,
  step = 1e-5,
): number {
  const builder = new GraphBuilder(standardOperators);
  const f = new Formula(builder);
  const values = new Map<string, Reference>();
  const wrt: string[] = [];
  const inputs = operands.map((operand, i) => {
    if (!operand) return '';
    const { dtype = 'float64', shape } = operand;
    if (operand.constant) return f.constant(dtype, shape, operand.values);
    const name = `x${i}`;
    builder.input(name, { dtype, shape });
    values.set(name, { dtype, shape, data: Float64Array.from(operand.values) });
    if (dtype === 'float64') wrt.push(name);
    return name;
  });
  const results = builder.add(operator, inputs, attributes, { outputs });
  const nodes = [...builder.build('forward', results).nodes];
  const seeds = new Map(
    results
      .filter((result) => builder.typeOf(result).dtype === 'float64')
      .map((result, i) => {
        const { shape } = builder.typeOf(result);
        const weights = Array.from({ length: sizeOf(shape) }, (_, at) => Math.cos(1.3 * at + i + 0.4));
        return [result, f.constant('float64', shape, weights)] as const;
      }),
  );
  const gradients = differentiate(builder, nodes, seeds, wrt);
  const weighted = [...seeds].map(([result, seed]) => f.mul(result, seed));
  const total = weighted
    .map((value) =>
      f.sum(
        value,
        f.shapeOf(value).map((_, axis) => axis),
        false,
      ),
    )
    .reduce((sum, value) => f.add(sum, value));
  const found = [...gradients];
  const backward = evaluate(
    builder.build(
      'backward',
      found.map(([, value]) => value),
    ),
    values,
  );
  const loss = removeDeadCode(builder.build('loss', [total]));
  const lossAt = (changed: ReadonlyMap<string, Reference>) => evaluate(loss, changed).get(total)!.data[0]!;

  let worst = 0;
  for (const [name, gradient] of found) {
    const input = values.get(name)!;
    const analytic = backward.get(gradient)!.data;
    for (let i = 0; i < input.data.length; i++) {
      const moved = (by: number) => {
        const data = Float64Array.from(input.data);
        data[i] = data[i]! + by;
        return lossAt(new Map(values).set(name, { ...input, data }));
      };
      const numeric = (moved(step) - moved(-step)) / (2 * step);
      const error = Math.abs(numeric - analytic[i]!) / Math.max(1, Math.abs(numeric));
      worst = Number.isNaN(error) ? Infinity : Math.max(worst, error);
    }
  }
  return worst;
}
