import { ShapeError } from '../errors.js';
import { intAttribute, type Node } from '../ir/graph.js';
import { formatType, sizeOf, type TensorType } from '../ir/tensor.js';
import type { OperatorDefinition, Reference } from './definition.js';
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

/**
 * A pool whose values follow from what each window sees.
 * @param of makes one value of the input's elements under a window and of how many places of declared padding are there
 */
export function overWindows(
  node: Node,
  inputs: readonly (Reference | undefined)[],
  type: TensorType,
  of: (seen: readonly number[], padding: number) => number,
): Reference {
  const { x, placed } = pooled(node, inputs, 'float');
  const source = operand(node, inputs, 0).data;
  const spatial = x.shape.slice(2);
  const table = tapTable(placed, spatial);
  const taps = sizeOf(placed.window.kernel);
  const [block, positions] = [sizeOf(spatial), sizeOf(placed.output)];
  const result = valueOf(type);
  result.data.forEach((_, i) => {
    const from = Math.floor(i / positions) * block;
    const row = (i % positions) * taps;
    const seen: number[] = [];
    let padding = 0;
    for (let k = 0; k < taps; k++) {
      const offset = table[row + k]!;
      if (offset >= 0) seen.push(source[from + offset]!);
      else if (offset !== OUTSIDE) padding++;
    }
    result.data[i] = of(seen, padding);
  });
  return result;
}

/** The mean under each window, over the input's elements alone or, with `count_include_pad`, its padding too. */
const averagePool = define(
  'AveragePool',
  (node, inputs) => [pooled(node, inputs, 'float').y],
  (node, inputs, [type]) => {
    const withPadding = intAttribute(node, 'count_include_pad', 0) === 1;
    const mean = (seen: readonly number[], padding: number) =>
      seen.reduce((sum, x) => sum + x, 0) / (seen.length + (withPadding ? padding : 0));
    return [overWindows(node, inputs, type!, mean)];
  },
);

/** One value a channel: pooling over all of its space. */
const GLOBAL: Readonly<Record<string, (block: Float64Array) => number>> = {
  GlobalAveragePool: (block) => block.reduce((sum, x) => sum + x, 0) / block.length,
  GlobalMaxPool: (block) => block.reduce((best, x) => Math.max(best, x), -Infinity),
};

/** An operator of one value a channel. @param check of the attributes */
export function overSpace(
  operator: string,
  of: (block: Float64Array, node: Node) => number,
  check: (node: Node) => void = () => undefined,
): OperatorDefinition {
  return define(
    operator,
    (node, inputs) => {
      check(node);
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
          result.data.map((_, i) => of(data.subarray(i * block, (i + 1) * block), node)),
        ),
      ];
    },
  );
}

const globalPools = Object.entries(GLOBAL).map(([operator, of]) => overSpace(operator, of));

export const poolingOperators: readonly OperatorDefinition[] = [maxPool, averagePool, ...globalPools];
