import type { Node } from '../ir/graph.js';
import type { DataType, TensorType } from '../ir/tensor.js';

/**
 * A value in the reference evaluator: every element type is held in float64, which is exact for
 * integers below 2^53 and for booleans (0 or 1). Integer results are truncated and wrapped by the operator.
 */
export interface Reference {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** One operator in the form of IR_OPSET: its type rule and its meaning. The gradient is in graph/gradient. */
export interface OperatorDefinition {
  readonly operator: string;
  /** '' is ai.onnx. */
  readonly domain: string;
  /**
   * Types of the outputs (one entry per declared output).
   * @param inputs types; undefined where an optional input is omitted
   * @param constants values of inputs that are known at compile time (shapes, axes, pads)
   * @throws ShapeError when the inputs do not fit
   */
  infer(
    node: Node,
    inputs: readonly (TensorType | undefined)[],
    constants: readonly (Reference | undefined)[],
  ): readonly TensorType[];
  /** The slow, obvious meaning in float64, after the ONNX specification. */
  evaluate(
    node: Node,
    inputs: readonly (Reference | undefined)[],
    outputs: readonly TensorType[],
  ): readonly Reference[];
}
