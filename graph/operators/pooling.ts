import { ShapeError } from '../errors.js';
import { intAttribute, type Node } from '../ir/graph.js';
import { formatType, sizeOf, type TensorType } from '../ir/tensor.js';
import type { OperatorDefinition } from './definition.js';
import { define, operand, valueOf, type Kind } from './operands.js';
import { declaredWindow, kernelShape, OUTSIDE, placeWindow, tapTable, type Placed } from './window.js';

type Types = readonly (TensorType | undefined)[];

/** A pool's operand, window and result, checked. */
export function pooled(
  node: Node,
  inputs: Types,
  kind: Kind,
): { x: TensorType; placed: Placed; y: TensorType } {
  const x = operand(node, inputs, 0, kind);
  const spatial = x.shape.slice(2);
  if (spatial.length === 0)
    throw new ShapeError(node, `X is ${formatType(x)}; it needs N, C and at least one more axis`);
  const placed = placeWindow(node, declaredWindow(node, kernelShape(node, spatial.length)), spatial);
  return { x, placed, y: { dtype: x.dtype, shape: [...x.shape.slice(0, 2), ...placed.output] } };
}

/**
 * The largest element under each window, the first of equals; padding never wins. The second output is its
 * place in the flat input, counted row by row, or column by column where `storage_order` is 1.
 */
const maxPool = define(
  'MaxPool',
  (node, inputs) => {
    const { y } = pooled(node, inputs, 'number');
    return [y, { dtype: 'int64', shape: y.shape }];
  },
  (node, inputs, [type, indexType]) => {
    const { x, placed } = pooled(node, inputs, 'number');
    const source = operand(node, inputs, 0).data;
    const spatial = x.shape.slice(2);
    const table = tapTable(placed, spatial);
    const taps = sizeOf(placed.window.kernel);
    const [block, positions] = [sizeOf(spatial), sizeOf(placed.output)];
    const place =
      intAttribute(node, 'storage_order', 0) === 1 ? columnMajor(spatial) : (offset: number) => offset;
    const result = valueOf(type!);
    const indices = valueOf(indexType ?? type!);
    result.data.forEach((_, i) => {
      const from = Math.floor(i / positions) * block;
      const row = (i % positions) * taps;
      let best = -1;
      for (let k = 0; k < taps; k++) {
        const offset = table[row + k]!;
        if (offset < 0) continue;
        if (best < 0 || source[from + offset]! > source[from + best]! || Number.isNaN(source[from + offset]!))
          best = offset;
      }
      result.data[i] = best < 0 ? -Infinity : source[from + best]!;
      indices.data[i] = from + place(Math.max(best, 0));
    });
    return indexType ? [result, indices] : [result];
  },
);

/** The offset of a row-major element when the first axis runs fastest. */
function columnMajor(shape: readonly number[]): (offset: number) => number {
  return (offset) => {
    let rest = offset;
    let place = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const at = rest % shape[axis]!;
      rest = Math.floor(rest / shape[axis]!);
      place += at * sizeOf(shape.slice(0, axis));
    }
    return place;
  };
}

/** The mean under each window, over the input's elements alone or, with `count_include_pad`, its padding too. */
const averagePool = define(
  'AveragePool',
  (node, inputs) => [pooled(node, inputs, 'float').y],
  (node, inputs, [type]) => {
    const { x, placed } = pooled(node, inputs, 'float');
    const source = operand(node, inputs, 0).data;
    const spatial = x.shape.slice(2);
    const table = tapTable(placed, spatial);
    const taps = sizeOf(placed.window.kernel);
    const [block, positions] = [sizeOf(spatial), sizeOf(placed.output)];
    const withPadding = intAttribute(node, 'count_include_pad', 0) === 1;
    const result = valueOf(type!);
    result.data.forEach((_, i) => {
      const from = Math.floor(i / positions) * block;
      const row = (i % positions) * taps;
      let [sum, count] = [0, 0];
      for (let k = 0; k < taps; k++) {
        const offset = table[row + k]!;
        if (offset >= 0) sum += source[from + offset]!;
        if (offset >= 0 || (withPadding && offset !== OUTSIDE)) count++;
      }
      result.data[i] = sum / count;
    });
    return [result];
  },
);

/** One value a channel: pooling over all of its space. */
const GLOBAL: Readonly<Record<string, (block: Float64Array) => number>> = {
  GlobalAveragePool: (block) => block.reduce((sum, x) => sum + x, 0) / block.length,
  GlobalMaxPool: (block) => block.reduce((best, x) => Math.max(best, x), -Infinity),
};

const globalPools = Object.entries(GLOBAL).map(([operator, of]) =>
  define(
    operator,
    (node, inputs) => {
      const { dtype, shape } = operand(node, inputs, 0, 'float');
      if (shape.length < 3) throw new ShapeError(node, 'its input needs N, C and at least one more axis');
      return [{ dtype, shape: shape.map((dim, axis) => (axis < 2 ? dim : 1)) }];
    },
    (node, inputs, [type]) => {
      const { shape, data } = operand(node, inputs, 0);
      const block = sizeOf(shape.slice(2));
      const result = valueOf(type!);
      return [
        valueOf(
          type!,
          result.data.map((_, i) => of(data.subarray(i * block, (i + 1) * block))),
        ),
      ];
    },
  ),
);

export const poolingOperators: readonly OperatorDefinition[] = [maxPool, averagePool, ...globalPools];
