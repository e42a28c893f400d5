import { ShapeError } from '../errors.js';
import { intAttribute, type Node } from '../ir/graph.js';
import { sizeOf } from '../ir/tensor.js';
import type { OperatorDefinition } from './definition.js';
import { define, operand, valueOf } from './operands.js';
import { pooled } from './pooling.js';
import { tapTable } from './window.js';

/** The exponent of a p-norm. @throws ShapeError below 1 */
function exponentOf(node: Node): number {
  const p = intAttribute(node, 'p', 2);
  if (p >= 1) return p;
  throw new ShapeError(node, `p is ${p}; an integer of at least 1 would be accepted`);
}

/** LpPool: (sum |x|^p)^(1/p) under each window; padding adds nothing. */
const lpPool = define(
  'LpPool',
  (node, inputs) => {
    exponentOf(node);
    return [pooled(node, inputs, 'float').y];
  },
  (node, inputs, [type]) => {
    const { x, placed } = pooled(node, inputs, 'float');
    const source = operand(node, inputs, 0).data;
    const spatial = x.shape.slice(2);
    const table = tapTable(placed, spatial);
    const taps = sizeOf(placed.window.kernel);
    const [block, positions] = [sizeOf(spatial), sizeOf(placed.output)];
    const p = exponentOf(node);
    const result = valueOf(type!);
    result.data.forEach((_, i) => {
      const from = Math.floor(i / positions) * block;
      let sum = 0;
      for (let k = 0; k < taps; k++) {
        const offset = table[(i % positions) * taps + k]!;
        if (offset >= 0) sum += Math.abs(source[from + offset]!) ** p;
      }
      result.data[i] = sum ** (1 / p);
    });
    return [result];
  },
);

/** GlobalLpPool: the p-norm of all of a channel's space. */
const globalLpPool = define(
  'GlobalLpPool',
  (node, inputs) => {
    exponentOf(node);
    const { dtype, shape } = operand(node, inputs, 0, 'float');
    if (shape.length < 3) throw new ShapeError(node, 'its input needs N, C and at least one more axis');
    return [{ dtype, shape: shape.map((dim, axis) => (axis < 2 ? dim : 1)) }];
  },
  (node, inputs, [type]) => {
    const { shape, data } = operand(node, inputs, 0);
    const block = sizeOf(shape.slice(2));
    const p = exponentOf(node);
    const norms = valueOf(type!).data.map((_, i) => {
      const powers = data.subarray(i * block, (i + 1) * block).map((x) => Math.abs(x) ** p);
      return powers.reduce((sum, x) => sum + x, 0) ** (1 / p);
    });
    return [valueOf(type!, norms)];
  },
);

export const normPoolingOperators: readonly OperatorDefinition[] = [lpPool, globalLpPool];
