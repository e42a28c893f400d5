import { operatorTitle, isOperator, shapeBy, withCustom, type Operator } from '../custom/index.js';
import { attribute } from '../ir/graph.js';
import type { Dimension } from '../ir/tensor.js';
import { LayerError } from './errors.js';
import { Value } from './value.js';

/** Attributes by name. */
type Numbers = Readonly<Record<string, number>>;

/**
 * Applies a user's own operator to its inputs, in order. Its attributes may follow.
 * @throws LayerError where they do not fit it
 *
 * @example
 * const layer = { apply: (x, scope) => custom(snake, x, scope.parameter('alpha', [x.lengthAt(-1, 'snake')], ones)) };
 */
export function custom(operator: Operator, x: Value, ...rest: readonly (Value | Numbers)[]): Value {
  if (!isOperator(operator))
    throw new LayerError('custom', 'its first argument is to be an operator: what defineOperator returns');
  const { operator: own } = operator;
  const title = operatorTitle(own);
  const last = rest.at(-1);
  const given: Numbers = last === undefined || isValue(last) ? {} : last;
  const values = [x, ...rest.filter(isValue)];
  if (values.length !== own.inputs.length) {
    throw new LayerError(
      title,
      `is given ${values.length} inputs; it takes ${own.inputs.length}: ${own.inputs.join(', ')}`,
    );
  }
  own.inputs.forEach((input, i) => {
    if (values[i]!.dtype !== 'float32')
      throw new LayerError(
        title,
        `its input ${input} is ${values[i]!.describe()}; float32 would be accepted`,
      );
  });
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(own.attributes, name))
      throw new LayerError(
        title,
        `has no attribute "${name}"; ${Object.keys(own.attributes).join(', ') || 'none'} would be accepted`,
      );
    if (!Number.isFinite(value))
      throw new LayerError(title, `its attribute "${name}" is to be a finite number`);
  }
  const shape = shapeBy<Dimension>(
    own.output,
    (input) => values[own.inputs.indexOf(input)]!.shape,
    (reason) => {
      throw new LayerError(title, reason);
    },
  );
  const attributes = Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, attribute.float(value)]),
  );
  const [output] = x.tape.nodeWithOutputs(
    x.at,
    own.name,
    values.map(({ name }) => name),
    withCustom(attributes, { operator: own, part: 'forward' }),
    1,
    own.domain,
  );
  return x.named(output!, shape);
}

function isValue(given: Value | Numbers): given is Value {
  return given instanceof Value;
}
