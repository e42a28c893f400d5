import type { Dimension } from '../ir/tensor.js';

/**
 * The shape of an operator's output: the name of the input whose shape it has, or its dimensions. A dimension is a length;
 * `x.0`, an axis of an input (`x.-1`: its last); `x.0:-1`, several of them, as in a slice; and an axis may be
 * multiplied, divided or changed by a number: `x.1 * 2`, `x.1 / 2`, `x.1 - 1`.
 */
export type ShapeRule = string | readonly (number | string)[];

const TERM = /^([A-Za-z]\w*)\.(?:(-?\d+)?(:)(-?\d+)?|(-?\d+)(?: *([*/+-]) *(\d+))?)$/;

/** What is wrong with a rule, if anything. */
export function faultOfRule(rule: unknown, inputs: readonly string[]): string | undefined {
  if (typeof rule === 'string')
    return inputs.includes(rule)
      ? undefined
      : `"${rule}" is no input; ${inputs.join(', ')} would be accepted`;
  if (!Array.isArray(rule) || rule.length > MOST_AXES)
    return `a shape is the name of an input or a list of at most ${MOST_AXES} dimensions`;
  for (const term of rule as readonly unknown[]) {
    if (typeof term === 'number' && Number.isSafeInteger(term) && term >= 0) continue;
    const name = typeof term === 'string' ? TERM.exec(term)?.[1] : undefined;
    if (name !== undefined && inputs.includes(name)) continue;
    return `${JSON.stringify(term)} is no dimension; a length, INPUT.AXIS, INPUT.FROM:TO or INPUT.AXIS * NUMBER (also /, +, -) of ${inputs.join(', ')} would be accepted`;
  }
  return undefined;
}

const MOST_AXES = 8;

/**
 * Applies a rule.
 * @param refuse says what does not fit; it throws
 */
export function shapeBy<D extends Dimension>(
  rule: ShapeRule,
  shapeOf: (input: string) => readonly D[],
  refuse: (reason: string) => never,
): (D | number)[] {
  if (typeof rule === 'string') return [...shapeOf(rule)];
  return rule.flatMap((term): (D | number)[] => {
    if (typeof term === 'number') return [term];
    const [, input = '', from, colon, to, axis, operator, operand] = TERM.exec(term) ?? [];
    const shape = shapeOf(input);
    if (colon !== undefined)
      return shape.slice(from === undefined ? 0 : Number(from), to === undefined ? undefined : Number(to));
    const dimension = shape.at(Number(axis));
    if (dimension === undefined)
      return refuse(`its output has the length ${term}, and ${input} has ${shape.length} axes`);
    if (operator === undefined) return [dimension];
    if (typeof dimension !== 'number')
      return refuse(`its output has the length ${term}, and that axis of ${input} has no known length`);
    const length = calculate(dimension, operator, Number(operand));
    if (!Number.isSafeInteger(length) || length < 0)
      return refuse(
        `its output has the length ${term}, which is ${length} where ${input} is [${shape.join(', ')}]`,
      );
    return [length];
  });
}

function calculate(length: number, operator: string, operand: number): number {
  if (operator === '*') return length * operand;
  if (operator === '/') return length / operand;
  return operator === '+' ? length + operand : length - operand;
}
