import type { Bytes } from '../../../base/index.js';
import { GraphBuilder } from '../../ir/builder.js';
import type { Node, TypedGraph } from '../../ir/graph.js';
import {
  dataFromBytes,
  bytesOf,
  sizeOf,
  bytesPerElement,
  type Tensor,
  type TensorType,
} from '../../ir/tensor.js';
import { standardOperators } from '../../operators/index.js';
import { removeDeadCode } from '../dead-code.js';
import { cutBox, offsetOf, wholeBox } from './box.js';
import { UnsplittableError } from './errors.js';
import { bytesIn, elementBytes, Pieces, type Stored } from './pieces.js';
import { splitRuleOf } from './rules/index.js';

/** A run of the elements of a program's input or output, as an input or output of the split graph. */
export interface EdgePiece {
  readonly name: string;
  /** Its first element's place among those of the whole value. */
  readonly start: number;
  readonly shape: readonly number[];
}

/** An input, parameter or output of a graph, in the order of its elements. */
export interface SplitEdge {
  readonly name: string;
  readonly type: TensorType;
  readonly pieces: readonly EdgePiece[];
}

export interface SplitGraph {
  /** Its inputs, parameters and outputs are the pieces of the whole graph's, in that order. */
  readonly graph: TypedGraph;
  /** The whole graph's inputs, then its parameters. */
  readonly inputs: readonly SplitEdge[];
  readonly outputs: readonly SplitEdge[];
}

/** The first value of a graph that takes more than so many bytes where elements take four at least. */
export function largeValue(graph: TypedGraph, limitBytes: Bytes): string | undefined {
  for (const [name, type] of graph.types) if (bytesIn(type) > limitBytes) return name;
  return undefined;
}

/**
 * The same function in which no value takes more than `limitBytes`: larger ones become pieces, each computed by
 * itself. Sums may be added up in another order; all else is as exact as before. Pure.
 *
 * Guarantees: an input or output that is large becomes several, each a contiguous run of its elements; the others
 * keep their place. Nodes that touch nothing large are copied.
 * @throws UnsplittableError naming the node and the value that has to be whole
 */
export function splitLarge(whole: TypedGraph, limitBytes: Bytes): SplitGraph {
  const builder = new GraphBuilder(standardOperators);
  const pieces = new Pieces(whole.name, builder, limitBytes, mostElements(whole, limitBytes));
  const inputs = whole.inputs.map((name) =>
    declared(pieces, name, whole.types.get(name)!, (piece, type) => builder.input(piece, type)),
  );
  const parameters = [...whole.parameters].map(([name, type]) =>
    declared(pieces, name, type, (piece, of) => builder.parameter(piece, of)),
  );
  for (const [name, tensor] of whole.constants) {
    declared(pieces, name, tensor, (piece, type, start) =>
      builder.constant(partOf(tensor, type.shape, start), piece),
    );
  }
  for (const node of whole.nodes) builder.within(node.name, () => writeNode(whole, node, pieces));
  const outputs = whole.outputs.map((name) => edgeOf(name, pieces.inRuns(name)));
  const graph = builder.build(
    whole.name,
    outputs.flatMap((output) => output.pieces.map(({ name }) => name)),
  );
  return { graph: removeDeadCode(graph), inputs: [...inputs, ...parameters], outputs };
}

/** Why a graph cannot be split under a limit; undefined where it can. Pure. */
export function whyUnsplittable(graph: TypedGraph, limitBytes: Bytes): UnsplittableError | undefined {
  try {
    splitLarge(graph, limitBytes);
    return undefined;
  } catch (error) {
    if (error instanceof UnsplittableError) return error;
    throw error;
  }
}

/** Elements of a piece: as many as the widest type among large values has room for, so that all are cut alike. */
function mostElements(graph: TypedGraph, limitBytes: Bytes): number {
  let widest = 4;
  for (const type of graph.types.values()) {
    if (bytesIn(type) > limitBytes / 8) widest = Math.max(widest, elementBytes(type.dtype));
  }
  return Math.max(1, Math.floor(limitBytes / widest));
}

function declared(
  pieces: Pieces,
  name: string,
  type: TensorType,
  declare: (piece: string, type: TensorType, start: number) => string,
): SplitEdge {
  const { dtype, shape } = type;
  const most = pieces.isLarge(type) ? pieces.most : Infinity;
  const boxes = cutBox(wholeBox(shape), { most })!;
  const made = boxes.map((box, i) => ({
    box,
    name: declare(
      boxes.length === 1 ? name : `${name}/piece_${i}`,
      { dtype, shape: box.shape },
      offsetOf(box, shape)!,
    ),
  }));
  const stored = { type: { dtype, shape }, pieces: made };
  pieces.store(name, stored);
  return edgeOf(name, stored);
}

function edgeOf(name: string, { type, pieces }: Stored): SplitEdge {
  return {
    name,
    type,
    pieces: pieces.map((piece) => ({
      name: piece.name,
      start: offsetOf(piece.box, type.shape)!,
      shape: piece.box.shape,
    })),
  };
}

/** A run of a constant's elements, which shares its memory. */
function partOf(tensor: Tensor, shape: readonly number[], start: number): Tensor {
  const width = bytesPerElement(tensor.dtype);
  const bytes = bytesOf(tensor).subarray(start * width, (start + sizeOf(shape)) * width);
  return { dtype: tensor.dtype, shape, data: dataFromBytes(tensor.dtype, bytes) };
}

function writeNode(whole: TypedGraph, node: Node, pieces: Pieces): void {
  const typeOf = (value: string): TensorType => whole.types.get(value) ?? { dtype: 'float32', shape: [0] };
  const touched = [...node.inputs, ...node.outputs].filter((value) => value !== '');
  const large =
    touched.some((value) => pieces.isLarge(typeOf(value))) ||
    node.inputs.some((input) => input !== '' && pieces.isSplit(input));
  pieces.node = node;
  if (!large) {
    copyNode(node, pieces, typeOf);
    return;
  }
  const rule = splitRuleOf(node, typeOf);
  if (!rule) {
    const value = touched.find((each) => pieces.isLarge(typeOf(each))) ?? touched[0]!;
    if (pieces.isLarge(typeOf(value))) throw pieces.refusal(value, typeOf(value));
    copyNode(node, pieces, typeOf);
    return;
  }
  const stored = rule.write(node, pieces, node.outputs.map(typeOf));
  node.outputs.forEach((output, i) => {
    if (output !== '') pieces.store(output, stored[i]!);
  });
}

function copyNode(node: Node, pieces: Pieces, typeOf: (value: string) => TensorType): void {
  const inputs = node.inputs.map((input) => pieces.whole(input));
  const outputs = node.outputs.map((output) =>
    pieces.builder.has(output) ? pieces.builder.freshName(output) : output,
  );
  pieces.builder.add(node.operator, inputs, node.attributes, {
    name: node.name,
    domain: node.domain,
    outputs,
  });
  node.outputs.forEach((output, i) => {
    if (output === '') return;
    const type = typeOf(output);
    pieces.store(output, { type, pieces: [{ box: wholeBox(type.shape), name: outputs[i]! }] });
  });
}
