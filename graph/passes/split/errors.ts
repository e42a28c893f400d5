import { formatBytes, UserError, type Bytes } from '../../../base/index.js';
import type { Node } from '../../ir/graph.js';
import { formatType, type TensorType } from '../../ir/tensor.js';

/** What cannot be computed in parts. */
export interface TooLarge {
  readonly graph: string;
  readonly node: Pick<Node, 'name' | 'operator'>;
  readonly value: string;
  /** Of the value, or of the part that has to be whole. */
  readonly type: TensorType;
  readonly bytes: Bytes;
  readonly limitBytes: Bytes;
}

/** A value is larger than a device binds, and no rule computes its node in parts. */
export class UnsplittableError extends UserError {
  constructor(readonly found: TooLarge) {
    const { graph, node, value, type, bytes, limitBytes } = found;
    super(
      'device_memory',
      `graph "${graph}": node "${node.name}" (${node.operator}) needs ${formatType(type)} of value "${value}" at once, ` +
        `${formatBytes(bytes)}, and one buffer holds at most ${formatBytes(limitBytes)} there; it cannot be computed in ` +
        'smaller parts. Smaller micro-batches, more stages or another device would do',
      { ids: { node: node.name, operator: node.operator, value } },
    );
  }
}
