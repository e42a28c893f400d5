import { ShapeError } from '../errors.js';
import type { Node } from '../ir/graph.js';
import { byteLengthOf, formatType, type TensorType } from '../ir/tensor.js';

/** One value of a graph may have this many bytes (a terabyte): no machine that trains holds more. */
const LARGEST_VALUE = 2 ** 40;
/** Axes of a value, at most: engines have limits too, and a shape is looked at many times. */
const LARGEST_RANK = 64;

/**
 * Makes sure that what a node gives can exist at all.
 * @throws ShapeError for a length that is negative or no integer, too many axes, or a value too large
 */
export function checkSizes(node: Node, types: readonly TensorType[]): void {
  for (const type of types) {
    if (type.shape.length > LARGEST_RANK) {
      throw new ShapeError(
        node,
        `gives ${type.shape.length} axes; at most ${LARGEST_RANK} would be accepted`,
      );
    }
    const lengths = type.shape.every((length) => Number.isSafeInteger(length) && length >= 0);
    if (lengths && byteLengthOf(type) <= LARGEST_VALUE) continue;
    throw new ShapeError(
      node,
      `gives ${formatType(type)}${lengths ? `, ${byteLengthOf(type)} bytes` : ''}; lengths from 0 and at most ${LARGEST_VALUE} bytes would be accepted`,
    );
  }
}
