import { attribute, intAttribute } from '../../ir/graph.js';
import { normalizeAxis, sizeOf } from '../../ir/tensor.js';
import { toReference } from '../../reference/value.js';
import type { GradientContext, RuleTable } from '../context.js';

/**
 * Up to this many rows of the table, the gradient of a look-up is a product with the one-hot matrix of the
 * indices; above it, the rows are added one by one.
 */
const ONE_HOT_ROWS = 256;

/** Y = X[.., indices, ..] along one axis; indices that occur several times add up. */
function gather(g: GradientContext): (string | undefined)[] {
  const shape = g.shapeOf(g.x);
  const axis = normalizeAxis(intAttribute(g.node, 'axis', 0), shape.length);
  const dim = shape[axis]!;
  const range = constantRange(g, dim);
  if (range !== undefined) {
    const [start, count] = range;
    const part = g.reshape(
      g.dy,
      shape.map((size, i) => (i === axis ? count : size)),
    );
    const before = shape.map((_, i) => (i === axis ? start : 0));
    const after = shape.map((_, i) => (i === axis ? dim - start - count : 0));
    return [g.pad(part, before, after), undefined];
  }
  const count = sizeOf(g.shapeOf(g.input(1)));
  const outer = shape.slice(0, axis);
  const inner = shape.slice(axis + 1);
  // to rows: [outer, count, inner] -> [count, outer * inner]
  const lifted = g.transpose(g.reshape(g.dy, [sizeOf(outer), count, sizeOf(inner)]), [1, 0, 2]);
  const table = addRows(g, g.reshape(lifted, [count, sizeOf(outer) * sizeOf(inner)]), dim);
  const lowered = g.transpose(g.reshape(table, [dim, sizeOf(outer), sizeOf(inner)]), [1, 0, 2]);
  return [g.reshape(lowered, shape), undefined];
}

/** A table of `rows` rows with row i of `updates` added at the i-th index. */
function addRows(g: GradientContext, updates: string, rows: number): string {
  const { shape, dtype } = g.typeOf(updates);
  const indices = g.reshape(g.input(1), [shape[0]!]);
  if (rows <= ONE_HOT_ROWS) {
    const hot = g.one('OneHot', [indices, g.int64s([rows]), g.constant(dtype, [2], [0, 1])]);
    return g.gemm(hot, updates, { transA: true });
  }
  const start = g.zeros({ dtype, shape: [rows, shape[1]!] });
  return g.one('ScatterND', [start, g.reshape(indices, [shape[0]!, 1]), updates], {
    reduction: attribute.string('add'),
  });
}

/** [start, count] where the indices are constants that count up by one. */
function constantRange(g: GradientContext, dim: number): [number, number] | undefined {
  const indices = g.builder.constantOf(g.input(1));
  if (!indices || indices.data.length === 0) return undefined;
  const values = Array.from(toReference(indices).data, (value) => (value < 0 ? value + dim : value));
  const start = values[0]!;
  return values.every((value, i) => value === start + i) ? [start, values.length] : undefined;
}

function gatherElements(g: GradientContext): (string | undefined)[] {
  const axis = attribute.int(intAttribute(g.node, 'axis', 0));
  const inputs = [g.zeros(g.typeOf(g.x)), g.input(1), g.dy];
  return [g.one('ScatterElements', inputs, { axis, reduction: attribute.string('add') }), undefined];
}

function gatherND(g: GradientContext): (string | undefined)[] {
  const inputs = [g.zeros(g.typeOf(g.x)), g.input(1), g.dy];
  return [g.one('ScatterND', inputs, { reduction: attribute.string('add') }), undefined];
}

export const indexingRules: RuleTable = {
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherND,
};
