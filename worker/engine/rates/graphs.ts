import {
  attribute,
  type Attributes,
  type Node,
  type TensorType,
  type TypedGraph,
} from '../../../graph/index.js';

/** The graph of one product, float32[n,n] times float32[n,n]. */
export function productGraph(size: number): TypedGraph {
  const type = float32(size, size);
  const product = node('MatMul', ['a', 'b'], 'c');
  return graphOf(`product of size ${size}`, { a: type, b: type }, [product], { c: type });
}

/** Operations of `productGraph`: a multiplication and an addition for each pair. */
export function productFlopsOf(size: number): number {
  return 2 * size ** 3;
}

/** A 3x3 convolution that keeps channels and space, as residual networks are full of. */
export interface ConvolutionSize {
  readonly samples: number;
  readonly channels: number;
  /** Height and width. */
  readonly space: number;
}

export function convolutionGraph({ samples, channels, space }: ConvolutionSize): TypedGraph {
  const x = float32(samples, channels, space, space);
  const attributes = { pads: attribute.ints([1, 1, 1, 1]), kernel_shape: attribute.ints([3, 3]) };
  const convolution = node('Conv', ['x', 'w'], 'y', attributes);
  const name = `convolution of ${channels} channels`;
  return graphOf(name, { x, w: float32(channels, channels, 3, 3) }, [convolution], { y: x });
}

/** Operations of `convolutionGraph`: a multiplication and an addition for each tap, borders included. */
export function convolutionFlopsOf({ samples, channels, space }: ConvolutionSize): number {
  return 2 * 9 * samples * channels ** 2 * space ** 2;
}

export interface ChainSize {
  /** Rows and columns of every value. */
  readonly side: number;
  /** How often the five operators are repeated. */
  readonly rounds: number;
}

/**
 * What training graphs have between their products, one node after the other: Mul, Add, Transpose, ReduceMean and Sub
 * on float32[side,side], again and again. The values neither grow nor vanish.
 */
export function chainGraph({ side, rounds }: ChainSize): TypedGraph {
  const square = float32(side, side);
  const nodes: Node[] = [];
  const made: Record<string, TensorType> = {};
  const add = (operator: string, inputs: readonly string[], attributes: Attributes = {}, type = square) => {
    const output = `v${nodes.length}`;
    nodes.push(node(operator, inputs, output, attributes));
    made[output] = type;
    return output;
  };
  let x = 'x';
  for (let round = 0; round < rounds; round++) {
    const sum = add('Add', [add('Mul', [x, 'y']), 'y']);
    const turned = add('Transpose', [sum], { perm: attribute.ints([1, 0]) });
    const mean = add('ReduceMean', [turned, 'axes'], {}, float32(side, 1));
    x = add('Sub', [turned, mean]);
  }
  const axes = { dtype: 'int64', shape: [1] } as const;
  const graph = graphOf(`chain of ${nodes.length} operators`, { x: square, y: square }, nodes, made);
  return {
    ...graph,
    constants: new Map([['axes', { ...axes, data: BigInt64Array.of(1n) }]]),
    types: new Map([...graph.types, ['axes', axes]]),
  };
}

/** Operators of `chainGraph`. */
export function chainLengthOf({ rounds }: ChainSize): number {
  return 5 * rounds;
}

/** Bytes that the operators of `chainGraph` read and write: squares, and a column for each mean. */
export function chainBytesOf({ side, rounds }: ChainSize): number {
  return rounds * 4 * (11 * side ** 2 + 2 * side);
}

function float32(...shape: number[]): TensorType {
  return { dtype: 'float32', shape };
}

function node(
  operator: string,
  inputs: readonly string[],
  output: string,
  attributes: Attributes = {},
): Node {
  return { name: output, operator, domain: '', inputs, outputs: [output], attributes };
}

/** The graph whose output is what its last node makes. */
function graphOf(
  name: string,
  inputs: Readonly<Record<string, TensorType>>,
  nodes: readonly Node[],
  made: Readonly<Record<string, TensorType>>,
): TypedGraph {
  return {
    name,
    inputs: Object.keys(inputs),
    outputs: nodes[nodes.length - 1]!.outputs,
    nodes,
    parameters: new Map(),
    constants: new Map(),
    types: new Map(Object.entries({ ...inputs, ...made })),
  };
}
