import type { Pieces, Stored } from '../pieces.js';
import { broadcastBox, type Box } from '../box.js';
import { sameShape } from '../../../ir/tensor.js';
import type { SplitRule, SplitRules } from '../rule.js';
import type { Node } from '../../../ir/graph.js';

/** The node itself, on parts of its operands. */
export function sameNode(pieces: Pieces, node: Node, inputs: readonly string[]): string {
  return pieces.builder.add(node.operator, inputs, node.attributes, { domain: node.domain })[0]!;
}

/** Where cuts of the operands fall in the result that they are broadcast to. */
function hintsOf(node: Node, pieces: Pieces, rank: number): Map<number, readonly number[]> {
  const hints = new Map<number, readonly number[]>();
  for (let axis = 0; axis < rank; axis++) {
    const cuts = node.inputs.flatMap((input) => {
      const shape = input === '' ? [] : pieces.shapeOf(input);
      const at = axis - (rank - shape.length);
      return at >= 0 && shape[at] !== 1 ? pieces.cutsOf(input, at) : [];
    });
    hints.set(axis, cuts);
  }
  return hints;
}

/** Each element of the result is made of the operands' at its place. */
const elementwise: SplitRule = {
  write(node, pieces, [type]): readonly Stored[] {
    const write = (box: Box): string => {
      const inputs = node.inputs.map((input) =>
        input === '' ? '' : pieces.read(input, broadcastBox(box, pieces.shapeOf(input))),
      );
      return sameNode(pieces, node, inputs);
    };
    const output = node.outputs[0]!;
    // an operand's own pieces, where they are as good: nothing is cut then
    const like = node.inputs.find(
      (input) => input !== '' && pieces.isSplit(input) && sameShape(pieces.shapeOf(input), type!.shape),
    );
    if (like !== undefined) {
      const boxes = pieces.valueOf(like).pieces.map(({ box }) => box);
      if (boxes.every(({ shape }) => !pieces.isLarge({ dtype: type!.dtype, shape })))
        return [{ type: type!, pieces: boxes.map((box) => ({ box, name: write(box) })) }];
    }
    return [pieces.made(output, type!, write, { hints: hintsOf(node, pieces, type!.shape.length) })];
  },
};

const OPERATORS = [
  ...['Abs', 'Acos', 'Acosh', 'Add', 'And', 'Asin', 'Asinh', 'Atan', 'Atanh', 'BitwiseAnd', 'BitwiseNot'],
  ...['BitwiseOr', 'BitwiseXor', 'Cast', 'Ceil', 'Celu', 'Clip', 'Cos', 'Cosh', 'Div', 'Elu', 'Equal', 'Erf'],
  ...['Exp', 'Floor', 'Gelu', 'Greater', 'GreaterOrEqual', 'HardSigmoid', 'HardSwish', 'Identity', 'IsInf'],
  ...['IsNaN', 'LeakyRelu', 'Less', 'LessOrEqual', 'Log', 'Max', 'Mean', 'Min', 'Mish', 'Mod', 'Mul', 'Neg'],
  ...['Not', 'Or', 'PRelu', 'Pow', 'Reciprocal', 'Relu', 'Round', 'Selu', 'Shrink', 'Sigmoid', 'Sign', 'Sin'],
  ...['Sinh', 'Softplus', 'Softsign', 'Sqrt', 'Sub', 'Sum', 'Swish', 'Tan', 'Tanh', 'ThresholdedRelu'],
  ...['Where', 'Xor'],
];

export const ELEMENTWISE: SplitRules = Object.fromEntries(
  OPERATORS.map((operator) => [operator, elementwise]),
);
