import type { Node } from '../../ir/graph.js';
import type { TensorType } from '../../ir/tensor.js';
import type { Pieces, Stored } from './pieces.js';

/** What a node needs at once however finely it is split: an operand or a result, and so much of it. */
export interface Atom {
  readonly value: string;
  readonly shape: readonly number[];
}

/** How an operator is computed in parts. */
export interface SplitRule {
  /** Whether it does so for this node; absent: for all. */
  takes?(node: Node, typeOf: (value: string) => TensorType): boolean;
  /** Writes the node's results in pieces, one for each output. @throws UnsplittableError */
  write(node: Node, pieces: Pieces, types: readonly TensorType[]): readonly Stored[];
  /** What it cannot split any further; absent: single elements would do. */
  atoms?(node: Node, typeOf: (value: string) => TensorType): readonly Atom[];
}

export type SplitRules = Readonly<Record<string, SplitRule>>;
