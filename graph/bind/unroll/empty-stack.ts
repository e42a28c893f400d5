import type { Node, ValueInfo } from '../../ir/graph.js';
import { emptyData } from '../../ir/tensor.js';
import { cannotUnroll } from './refuse.js';
import type { Unroller } from './unroller.js';

/** What a loop that never runs stacks: nothing, of the type that its body declares for a row. */
export function emptyStack(
  unroller: Unroller,
  node: Node,
  declared: ValueInfo | undefined,
  axis: number,
): string {
  const shape = declared?.shape.flatMap((dim) => (typeof dim === 'number' ? [dim] : []));
  if (!declared || !shape || shape.length < declared.shape.length || declared.dtype === 'string') {
    throw cannotUnroll(
      node,
      'it never runs, and its body does not declare the shape of what it would stack',
      'A sequence of at least one step would be accepted',
    );
  }
  const at = axis < 0 ? axis + shape.length + 1 : axis;
  const stacked = shape.toSpliced(at, 0, 0);
  return unroller.constant(node, 'empty', {
    dtype: declared.dtype,
    shape: stacked,
    data: emptyData(declared.dtype, 0),
  });
}
