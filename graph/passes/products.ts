import { attribute, floatAttribute, type Attributes, type Node } from '../ir/graph.js';
import { sizeOf } from '../ir/tensor.js';
import { hasFlag, isOperator, transposedMatrix } from './needless.js';
import type { RewriteRule, Site } from './rewrite.js';

/**
 * A product with one matrix on the right becomes a Gemm over all rows of the left: a transposed operand is then a
 * flag instead of a copy, and the gradient of the weight is one matrix product too.
 */
export const matMulToGemm: RewriteRule = (site) => {
  const { node, type, f } = site;
  if (!isOperator(node, 'MatMul')) return undefined;
  const [a, b] = node.inputs as [string, string];
  if (
    f.rankOf(a) < 2 ||
    f.rankOf(b) !== 2 ||
    f.typeOf(a).dtype === 'int32' ||
    f.typeOf(a).dtype === 'int64'
  ) {
    return undefined;
  }
  const inner = f.shapeOf(a).at(-1)!;
  const rows = sizeOf(f.shapeOf(a).slice(0, -1));
  const left = operandOf(site, f.reshape(a, [rows, inner]));
  const right = operandOf(site, b);
  const product = f.gemm(left.value, right.value, { transA: left.transposed, transB: right.transposed });
  return [f.reshape(product, type.shape)];
};

/** A Gemm with a transposed operand reads the matrix itself, with the flag the other way round. */
export const foldTransposes: RewriteRule = (site) => {
  const { node, f } = site;
  if (!isOperator(node, 'Gemm')) return undefined;
  const left = operandOf(site, node.inputs[0]!);
  const right = operandOf(site, node.inputs[1]!);
  if (!left.transposed && !right.transposed) return undefined;
  const attributes: Attributes = {
    ...node.attributes,
    transA: attribute.int(hasFlag(node, 'transA') !== left.transposed ? 1 : 0),
    transB: attribute.int(hasFlag(node, 'transB') !== right.transposed ? 1 : 0),
  };
  return [f.one('Gemm', [left.value, right.value, ...node.inputs.slice(2)], attributes)];
};

/** A vector added to each row of a product that nothing else reads is the Gemm's third operand. */
export const foldBias: RewriteRule = (site) => {
  const { node, type, f } = site;
  if (!isOperator(node, 'Add')) return undefined;
  for (const at of [0, 1]) {
    const product = node.inputs[at]!;
    const bias = node.inputs[1 - at]!;
    const shape = f.shapeOf(product);
    const columns = shape.at(-1);
    if (columns === undefined || site.uses(product) !== 1 || shape.length !== type.shape.length) continue;
    if (sizeOf(shape) !== sizeOf(type.shape)) continue;
    if (sizeOf(f.shapeOf(bias)) !== columns || f.shapeOf(bias).at(-1) !== columns) continue;
    const gemm = plainGemm(site, product);
    if (!gemm) continue;
    if (f.shapeOf(gemm.outputs[0]!)[1] !== columns) continue;
    const sum = f.one('Gemm', [...gemm.inputs, f.reshape(bias, [columns])], gemm.attributes);
    return [f.reshape(sum, type.shape)];
  }
  return undefined;
};

/** A product that is only scaled by a number has that number as its alpha. */
export const foldScale: RewriteRule = (site) => {
  const { node, type, f } = site;
  if (!isOperator(node, 'Mul')) return undefined;
  for (const at of [0, 1]) {
    const product = node.inputs[at]!;
    const factor = f.numberOf(node.inputs[1 - at]!);
    if (factor === undefined || site.uses(product) !== 1 || f.rankOf(product) !== type.shape.length) continue;
    const gemm = plainGemm(site, product);
    if (!gemm) continue;
    const alpha = attribute.float(floatAttribute(gemm, 'alpha', 1) * factor);
    return [f.reshape(f.one('Gemm', gemm.inputs, { ...gemm.attributes, alpha }), type.shape)];
  }
  return undefined;
};

/** The Gemm without a third operand whose product a value is, perhaps reshaped, where nothing else uses it. */
function plainGemm(site: Site, value: string): Node | undefined {
  const above = site.producer(value);
  const product = isOperator(above, 'Reshape') ? above.inputs[0]! : value;
  const gemm = site.producer(product);
  if (!isOperator(gemm, 'Gemm') || gemm.inputs.length > 2 || site.uses(product) !== 1) return undefined;
  return gemm;
}

function operandOf(site: Site, value: string): { readonly value: string; readonly transposed: boolean } {
  const matrix = transposedMatrix(site, value);
  return matrix === undefined ? { value, transposed: false } : { value: matrix, transposed: true };
}
