import { InvariantError } from '../../../base/index.js';
import { gradientNode } from '../../custom/gradient.js';
import { customOf } from '../../custom/node.js';
import { ShapeError } from '../../errors.js';
import type { GradientContext, GradientRule } from '../context.js';

/** The gradient of a user's operator: a node for each input, with the kernel that its definition has for it. */
export const customRule: GradientRule = (g) => {
  const custom = customOf(g.node);
  if (!custom) throw new InvariantError(`node "${g.node.name}" is none of a user's operators`);
  return g.node.inputs.map((_, i) => {
    if (!g.needs(i)) return undefined;
    const written = gradientNode(g.node, custom, i, g.dy);
    if (!written) return undefined;
    const { operator, domain, inputs, attributes, sums } = written;
    const [value] = g.builder.add(operator, inputs, attributes, { domain });
    return sums ? summed(g, value!, i) : value;
  });
};

/** The sum over the axes along which the input was broadcast. */
function summed(g: GradientContext, value: string, i: number): string {
  const [from, to] = [g.shapeOf(value), g.shapeOf(g.input(i))];
  const broadcasts =
    to.length <= from.length && to.every((length, axis) => [1, from.at(axis - to.length)].includes(length));
  if (broadcasts) return g.reduceTo(value, to);
  throw new ShapeError(
    g.node,
    `the gradient of its input ${i} is a sum to [${to.join(', ')}], which does not broadcast to y, [${from.join(', ')}]; ` +
      'a kernel with a cell for each of its elements (without reduce) would be accepted',
  );
}
