import { ShapeError } from '../errors.js';
import { floatAttribute, intAttribute, type Node } from '../ir/graph.js';
import { formatType, sameShape, stridesOf, type TensorType } from '../ir/tensor.js';
import { gelu, geluByTanh, sigmoid } from './activation.js';
import { broadcastTo } from './binary.js';
import type { OperatorDefinition, Reference } from './definition.js';
import { matMul } from './matmul.js';
import { rmsNormalization } from './norm.js';
import { layerNormalization } from './normalization.js';
import { define, operand, sameType, valueOf } from './operands.js';
import { elementwise } from './unary.js';
import { broadcastShapes, offsetsOf } from './walk.js';

/** The domain of the operators that onnxruntime adds to ONNX: its optimizer and Hugging Face Optimum write them. */
const MICROSOFT = 'com.microsoft';

/** Functions of one tensor. QuickGelu's default is what OpenAI's CLIP has. */
const activations = elementwise(
  {
    Gelu: { kind: 'float', of: gelu },
    QuickGelu: {
      kind: 'float',
      of: {
        withNode: (node) => {
          const alpha = floatAttribute(node, 'alpha', Math.fround(1.702));
          return (x) => x * sigmoid(alpha * x);
        },
      },
    },
  },
  MICROSOFT,
);

/** f(x + bias) with one number of the bias for each place on the last axis. */
function biased(operator: string, optional: boolean, of: (x: number) => number): OperatorDefinition {
  return define(
    operator,
    (node, inputs) => {
      const x = operand(node, inputs, 0, 'float');
      if (!optional || inputs[1]) sameLength(node, inputs, 1, x, [x.shape.at(-1) ?? 0]);
      return [{ dtype: x.dtype, shape: x.shape }];
    },
    (node, inputs, [type]) => {
      const bias = inputs[1] && broadcastTo(inputs[1], type!.shape);
      return [
        valueOf(
          type!,
          operand(node, inputs, 0).data.map((x, i) => of(x + (bias?.[i] ?? 0))),
        ),
      ];
    },
    MICROSOFT,
  );
}

/** @throws ShapeError unless input `index` has the element type of `x` and the given shape */
function sameLength(
  node: Node,
  inputs: readonly (TensorType | undefined)[],
  index: number,
  x: TensorType,
  shape: readonly number[],
): void {
  const found = operand(node, inputs, index, 'float');
  sameType(node, x, found, index);
  if (sameShape(found.shape, shape)) return;
  throw new ShapeError(
    node,
    `input ${index} is ${formatType(found)}; [${shape.join(', ')}] would be accepted`,
  );
}

/**
 * The operands of a normalization of input + skip + bias: which input is which. Both forms have four outputs: the
 * result, the mean and the inverse deviation of each row, and the sum.
 */
interface Skip {
  readonly operator: string;
  readonly vectors: readonly number[];
  readonly bias: number;
  readonly normalize: (
    node: Node,
    inputs: readonly (Reference | undefined)[],
    sum: Reference,
    types: readonly TensorType[],
  ) => readonly [Reference, Reference, Reference];
}

function skipNormalization({ operator, vectors, bias, normalize }: Skip): OperatorDefinition {
  return define(
    operator,
    (node, inputs) => {
      const [x, skip] = [operand(node, inputs, 0, 'float'), operand(node, inputs, 1, 'float')];
      sameType(node, x, skip, 1);
      if (!sameShape(broadcastShapes(node, [x.shape, skip.shape]), x.shape)) {
        throw new ShapeError(
          node,
          `skip is ${formatType(skip)}, which does not broadcast to ${formatType(x)}`,
        );
      }
      operand(node, inputs, 2);
      for (const index of vectors) {
        if (inputs[index]) sameLength(node, inputs, index, x, [x.shape.at(-1) ?? 0]);
      }
      const [whole, rows]: TensorType[] = [
        { dtype: x.dtype, shape: x.shape },
        { dtype: 'float32', shape: x.shape.with(-1, 1) },
      ];
      return [whole!, rows!, rows!, whole!];
    },
    (node, inputs, types) => {
      const { shape } = types[0]!;
      const [skip, shift] = [operand(node, inputs, 1), inputs[bias]].map(
        (each) => each && broadcastTo(each, shape),
      );
      const sum = valueOf(
        types[0]!,
        operand(node, inputs, 0).data.map((x, i) => x + skip![i]! + (shift?.[i] ?? 0)),
      );
      return [...normalize(node, inputs, sum, types), sum];
    },
    MICROSOFT,
  );
}

const EPSILON = Math.fround(1e-12);

/** Inputs: input, skip, gamma, beta, bias. */
const skipLayerNormalization = skipNormalization({
  operator: 'SkipLayerNormalization',
  vectors: [2, 3, 4],
  bias: 4,
  normalize: (node, inputs, sum, types) => {
    const plain: Node = {
      ...node,
      attributes: { epsilon: { kind: 'float', value: floatAttribute(node, 'epsilon', EPSILON) } },
    };
    const [y, mean, inverse] = layerNormalization.evaluate(plain, [sum, inputs[2], inputs[3]], types);
    return [y!, mean!, inverse!];
  },
});

/** Inputs: input, skip, gamma, bias. Without a mean: the second output is zeros. */
const skipSimplifiedLayerNormalization = skipNormalization({
  operator: 'SkipSimplifiedLayerNormalization',
  vectors: [2, 3],
  bias: 3,
  normalize: (node, inputs, sum, types) => {
    const epsilon = floatAttribute(node, 'epsilon', EPSILON);
    const axis = sum.shape.length - 1;
    const [y, inverse] = rmsNormalization(sum, operand(node, inputs, 2), axis, epsilon, [
      types[0]!,
      types[2]!,
    ]);
    return [y!, valueOf(types[1]!), inverse!];
  },
});

/**
 * The permutation that FusedMatMul applies to operand `which` (A or B): `transBatch` moves the first axis behind the
 * others that are no columns, `trans` then exchanges the last two. A vector stays as it is.
 */
export function fusedPermutation(node: Node, which: 'A' | 'B', rank: number): number[] {
  const order = Array.from({ length: rank }, (_, axis) => axis);
  if (rank < 2) return order;
  if (intAttribute(node, `transBatch${which}`, 0) !== 0) order.splice(rank - 2, 0, order.shift()!);
  return intAttribute(node, `trans${which}`, 0) === 0
    ? order
    : order.with(-1, order.at(-2)!).with(-2, order.at(-1)!);
}

function operandsOf<T extends TensorType>(
  node: Node,
  inputs: readonly (T | undefined)[],
  permuted: (value: T, order: readonly number[]) => T,
): T[] {
  return (['A', 'B'] as const).map((which, index) => {
    const value = operand(node, inputs, index, 'float');
    return permuted(value, fusedPermutation(node, which, value.shape.length));
  });
}

function permutedReference({ dtype, shape, data }: Reference, order: readonly number[]): Reference {
  const strides = stridesOf(shape);
  const moved = order.map((axis) => shape[axis]!);
  const offsets = offsetsOf(
    moved,
    order.map((axis) => strides[axis]!),
  );
  return { dtype, shape: moved, data: Float64Array.from(offsets, (offset) => data[offset]!) };
}

/** FusedMatMul: alpha A' B' with the operands transposed as its attributes say. */
const fusedMatMul = define(
  'FusedMatMul',
  (node, inputs) => {
    const moved = operandsOf<TensorType>(node, inputs, ({ dtype, shape }, order) => ({
      dtype,
      shape: order.map((axis) => shape[axis]!),
    }));
    return matMul.infer(node, moved, []);
  },
  (node, inputs, types) => {
    const alpha = floatAttribute(node, 'alpha', 1);
    const [product] = matMul.evaluate(node, operandsOf(node, inputs, permutedReference), types);
    return [
      valueOf(
        types[0]!,
        product!.data.map((x) => alpha * x),
      ),
    ];
  },
  MICROSOFT,
);

export const microsoftOperators: readonly OperatorDefinition[] = [
  ...activations,
  biased('BiasGelu', false, gelu),
  biased('FastGelu', true, geluByTanh),
  skipLayerNormalization,
  skipSimplifiedLayerNormalization,
  fusedMatMul,
];
