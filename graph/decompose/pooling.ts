import { attribute, intAttribute } from '../ir/graph.js';
import { sizeOf } from '../ir/tensor.js';
import type { NodeFormula } from '../formula/index.js';
import { pooled } from '../operators/pooling.js';
import { unpooledShape } from '../operators/unpooling.js';
import { spanOf } from '../operators/window.js';
import type { DecompositionTable } from './table.js';

/** |x|^p; an even power needs no absolute value. */
function power(d: NodeFormula, p: number): string {
  if (p === 1) return d.abs(d.x);
  return d.pow(p % 2 === 0 ? d.x : d.abs(d.x), p);
}

/** The p-th root, whose slope at 0 is infinite and taken to be 0, as that of a norm is. */
function root(d: NodeFormula, sum: string, p: number): string {
  if (p === 1) return sum;
  const isZero = d.equal(sum, 0);
  const safe = d.where(isZero, 1, sum);
  return d.where(isZero, 0, p === 2 ? d.sqrt(safe) : d.pow(safe, 1 / p));
}

/** The sum under each window is a convolution of every channel alone with a kernel of ones. */
function lpPool(d: NodeFormula): string {
  const p = intAttribute(d.node, 'p', 2);
  const { x, placed, y } = pooled(d.node, [d.typeOf(d.x)], 'float');
  const { window, output } = placed;
  const spatial = x.shape.slice(2);
  // the last window may reach beyond the padding that was declared, by rounding up
  const ends = spatial.map((length, i) => {
    const reach = (output[i]! - 1) * window.strides[i]! + spanOf(window, i);
    return Math.max(0, reach - length - window.begins[i]!);
  });
  const images = sizeOf(x.shape.slice(0, 2));
  const powers = d.reshape(power(d, p), [images, 1, ...spatial]);
  const sum = d.one('Conv', [powers, d.filled([1, 1, ...window.kernel], 1, x.dtype)], {
    kernel_shape: attribute.ints(window.kernel),
    strides: attribute.ints(window.strides),
    dilations: attribute.ints(window.dilations),
    pads: attribute.ints([...window.begins, ...ends]),
  });
  return root(d, d.reshape(sum, y.shape), p);
}

function globalLpPool(d: NodeFormula): string {
  const p = intAttribute(d.node, 'p', 2);
  const space = d.shapeOf(d.x).flatMap((_, axis) => (axis < 2 ? [] : [axis]));
  return root(d, d.sum(power(d, p), space), p);
}

/** Puts every element back at its place; where MaxPool gave a place to several windows, they hold the same value. */
function maxUnpool(d: NodeFormula): string {
  const shape = unpooledShape(d.node, d.shapeOf(d.x), d.numbersOf(2));
  const count = sizeOf(d.shapeOf(d.x));
  const blank = d.zeros({ dtype: d.typeOf(d.x).dtype, shape: [sizeOf(shape)] });
  const flat = d.one('ScatterElements', [blank, d.reshape(d.input(1), [count]), d.reshape(d.x, [count])]);
  return d.reshape(flat, shape);
}

/** Pools other than the largest and the mean. */
export const pooling: DecompositionTable = {
  LpPool: (d) => [lpPool(d)],
  GlobalLpPool: (d) => [globalLpPool(d)],
  MaxUnpool: (d) => [maxUnpool(d)],
};
