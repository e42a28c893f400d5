import { intAttribute, isFloat, sameShape, sizeOf, stridesOf, type Node } from '../../../../graph/index.js';
import type { CellRule, CellRules, CellValue, Place, Read } from '../cell.js';
import { UnsupportedFormError } from '../errors.js';
import type { KernelContext } from '../kernel.js';
import { pointwise, type Pointwise } from './pointwise.js';

/** The strides with which `shape` is read as if it had `target`: 0 along repeats. */
export function broadcastStrides(shape: readonly number[], target: readonly number[]): number[] {
  const strides = stridesOf(shape);
  const missing = target.length - shape.length;
  return target.map((_, axis) =>
    axis < missing || shape[axis - missing] === 1 ? 0 : strides[axis - missing]!,
  );
}

/** Where an operand of shape `from` is read for a cell of `target`, under NumPy's rule. */
export function broadcastPlace(from: readonly number[], target: readonly number[]): Place {
  if (sizeOf(from) === sizeOf(target)) return 'cell';
  const strides = broadcastStrides(from, target);
  return (body) => body.place(target, strides);
}

function operandsOf(node: Node, names: readonly string[], context: KernelContext): readonly Read[] {
  const target = context.typeOf(node.outputs[0]!).shape;
  return names.map((value) => ({ value, place: broadcastPlace(context.typeOf(value).shape, target) }));
}

const ruleOf =
  (of: Pointwise): CellRule =>
  (node, context) => {
    const output = node.outputs[0]!;
    const { dtype } = context.typeOf(node.inputs[0]!);
    return [
      {
        node,
        output,
        size: sizeOf(context.typeOf(output).shape),
        reads: operandsOf(node, node.inputs, context),
        write: (operands, body) => of(operands, body, node, dtype),
      },
    ];
  };

/** Floats to integers towards zero; anything to bool as "is not zero"; the rest keeps its value. */
const cast: CellRule = (node, context) => {
  const output = node.outputs[0]!;
  const from = context.typeOf(node.inputs[0]!);
  const to = context.typeOf(output);
  const write: CellValue['write'] = ([x]) => {
    if (to.dtype === 'bool' && from.dtype !== 'bool') return `(${x!} !== 0 ? 1 : 0)`;
    if (!isFloat(to.dtype) && isFloat(from.dtype)) return `Math.trunc(${x!})`;
    return x!;
  };
  return [
    { node, output, size: sizeOf(to.shape), reads: [{ value: node.inputs[0]!, place: 'cell' }], write },
  ];
};

/** Bounds that are absent stay out of the expression; where they cross, max wins. */
const clip: CellRule = (node, context) => {
  const output = node.outputs[0]!;
  const [x, low, high] = [node.inputs[0]!, node.inputs[1] ?? '', node.inputs[2] ?? ''];
  const names = [x, low, high].filter((name) => name !== '');
  const write: CellValue['write'] = ([value, ...bounds]) => {
    const raised = low === '' ? value! : `Math.max(${value!}, ${bounds[0]!})`;
    return high === '' ? raised : `Math.min(${raised}, ${bounds.at(-1)!})`;
  };
  const size = sizeOf(context.typeOf(output).shape);
  return [{ node, output, size, reads: operandsOf(node, names, context), write }];
};

/** Dropout in inference keeps everything. */
const dropout: CellRule = (node, context) => {
  const size = sizeOf(context.typeOf(node.inputs[0]!).shape);
  const [kept, mask] = [node.outputs[0] ?? '', node.outputs[1] ?? ''];
  const values: CellValue[] = [];
  const reads: readonly Read[] = [{ value: node.inputs[0]!, place: 'cell' }];
  if (kept !== '') values.push({ node, output: kept, size, reads, write: ([x]) => x! });
  if (mask !== '') values.push({ node, output: mask, size, reads: [], write: () => '1' });
  return values;
};

/** A GPU may compute as if there were no NaN: then nothing is one. */
const isNaNCell: CellRule = (node, context) => {
  if (context.backend === 'webgpu' || context.backend === 'webgl') {
    throw new UnsupportedFormError('GPUs need not tell NaN from numbers');
  }
  return ruleOf(([x]) => `(${x!} !== ${x!} ? 1 : 0)`)(node, context);
};

/** Integers that are exact in float32 are so in 32 bits. */
const bits =
  (operator: '&' | '|' | '^'): CellRule =>
  (node, context) => {
    if (context.backend === 'webgl') throw new UnsupportedFormError('GLSL has no bits of integers');
    return ruleOf(([a, b], body) => {
      const [left, right] = [a!, b!].map((x) => body.integer(`Math.floor(${x} + 0.5)`));
      return `(${left!} ${operator} ${right!})`;
    })(node, context);
  };

const isInfinite: Pointwise = ([x], _, node) => {
  const tests: string[] = [];
  if (intAttribute(node, 'detect_positive', 1) === 1) tests.push(`${x!} > 3.4028234663852886e+38`);
  if (intAttribute(node, 'detect_negative', 1) === 1) tests.push(`${x!} < -3.4028234663852886e+38`);
  return tests.length === 0 ? '0' : `(${tests.join(' || ')} ? 1 : 0)`;
};

export const elementwiseCells: CellRules = {
  ...Object.fromEntries(Object.entries(pointwise).map(([operator, of]) => [operator, ruleOf(of)])),
  BitwiseAnd: bits('&'),
  BitwiseOr: bits('|'),
  BitwiseXor: bits('^'),
  IsInf: ruleOf(isInfinite),
  IsNaN: isNaNCell,
  Cast: cast,
  CastLike: cast,
  Clip: clip,
  Dropout: dropout,
};

/** Whether a node gives its input's elements as they are, whatever their type is called. */
export function keepsElements(node: Node, context: Pick<KernelContext, 'typeOf'>): boolean {
  if (node.domain !== '' || (node.operator !== 'Cast' && node.operator !== 'CastLike')) return false;
  const [from, to] = [context.typeOf(node.inputs[0]!), context.typeOf(node.outputs[0]!)];
  const kept =
    from.dtype === to.dtype || from.dtype === 'bool' || (isFloat(to.dtype) && to.dtype === 'float32');
  return kept && sameShape(from.shape, to.shape);
}
