import { intAttribute, type Node } from '../ir/graph.js';
import { outline } from '../ir/body.js';
import { elementType } from '../ir/element.js';
import { isFloat, type Tensor } from '../ir/tensor.js';
import type { ModelProto } from './gen/onnx_pb.js';
import type { Initializer } from './initializers.js';
import { isPyTorch, notedKinds, type Kind } from './pytorch.js';

/** Inputs through which no gradient passes although they are floats, by operator; `all` of them or these. */
const NO_GRADIENT: ReadonlyMap<string, readonly number[] | 'all'> = new Map(
  Object.entries<readonly number[] | 'all'>({
    ArgMax: 'all',
    ArgMin: 'all',
    BatchNormalization: [3, 4],
    CastLike: [1],
    Clip: [1, 2],
    Dropout: [1],
    Equal: 'all',
    Greater: 'all',
    GreaterOrEqual: 'all',
    IsInf: 'all',
    IsNaN: 'all',
    Less: 'all',
    LessOrEqual: 'all',
    OneHot: 'all',
    Pad: [2],
    Range: 'all',
    Resize: [1, 2],
    Shape: 'all',
    Size: 'all',
  }),
);

/**
 * Which float initializers are parameters, and which are constants that a training step must leave alone.
 * ONNX has one list for both. In this order:
 *
 * 1. What no output depends on through a differentiable path is a constant: unused tensors, masks that are
 *    only compared, running statistics, bounds, scales.
 * 2. `chosen`, where the caller has a say.
 * 3. What PyTorch's exporter (or dtrain) wrote about each value, where it did: only a PARAMETER is one, or what its
 *    optimizer made of one.
 * 4. A tensor with an infinity or NaN is a mask. So is a square of two values, one on and below the diagonal
 *    and another above (or the reverse): nobody initializes a weight so.
 * 5. A scalar without dimensions is a literal, unless PyTorch wrote the file (it writes literals as nodes).
 * 6. The rest are parameters.
 */
export function trainableNames(
  initializers: ReadonlyMap<string, Initializer>,
  nodes: readonly Node[],
  outputs: readonly string[],
  proto: ModelProto,
  chosen?: (name: string) => boolean,
): ReadonlySet<string> {
  const reached = differentiable(outline(nodes), outputs);
  const kinds = notedKinds(proto);
  const parameter: Kind = 'PARAMETER';
  const literalsAreNodes = isPyTorch(proto);
  const isParameter = (name: string, tensor: Tensor): boolean => {
    if (!isFloat(tensor.dtype) || !reached.has(name)) return false;
    if (chosen) return chosen(name);
    if (kinds.size > 0) return kinds.get(name) === parameter;
    if (isMask(tensor)) return false;
    return tensor.shape.length > 0 || literalsAreNodes;
  };
  return new Set(
    [...initializers].filter(([name, { tensor }]) => isParameter(name, tensor)).map(([name]) => name),
  );
}

/** Every value from which a differentiable path leads to an output; one backward pass. */
function differentiable(nodes: readonly Node[], outputs: readonly string[]): ReadonlySet<string> {
  const reached = new Set(outputs);
  for (const node of nodes.toReversed()) {
    if (!node.outputs.some((output) => reached.has(output)) || castsAway(node)) continue;
    const blocked = (node.domain === '' ? NO_GRADIENT.get(node.operator) : undefined) ?? [];
    if (blocked === 'all') continue;
    node.inputs.forEach((input, i) => {
      if (input !== '' && !blocked.includes(i)) reached.add(input);
    });
  }
  return reached;
}

function castsAway(node: Node): boolean {
  if (node.operator !== 'Cast' || node.domain !== '') return false;
  const to = elementType(intAttribute(node, 'to', 0));
  return to !== undefined && !isFloat(to);
}

function isMask({ dtype, shape, data }: Tensor): boolean {
  if (!(data instanceof Float32Array) && !(data instanceof Float64Array)) return isHalfMask(dtype, data);
  for (const x of data) if (!Number.isFinite(x)) return true;
  const [rows, columns] = shape.slice(-2);
  if (rows === undefined || rows !== columns || rows < 2 || data.length !== rows * rows) return false;
  const [onDiagonal, above, below] = [data[0], data[1], data[rows]];
  if (above === below) return false;
  return data.every((x, i) => {
    const ahead = (i % rows) - Math.floor(i / rows);
    return x === (ahead === 0 ? onDiagonal : ahead > 0 ? above : below);
  });
}

/** 16-bit floats, by their bits: an exponent of ones is an infinity or NaN. */
function isHalfMask(dtype: Tensor['dtype'], data: Tensor['data']): boolean {
  const exponent = dtype === 'float16' ? 0x7c00 : 0x7f80;
  for (const bits of data) if ((Number(bits) & exponent) === exponent) return true;
  return false;
}
