import { ShapeError } from '../errors.js';
import { intAttribute, stringAttribute, type Node } from '../ir/graph.js';
import { formatType, type TensorType } from '../ir/tensor.js';
import type { OperatorDefinition } from './definition.js';
import { define, operand, ranked, valueOf } from './operands.js';

/** The operand [N, C, H, W] and the attribute `blocksize`. */
function blocked(node: Node, inputs: readonly (TensorType | undefined)[]): { x: TensorType; block: number } {
  const x = operand(node, inputs, 0);
  ranked(node, x, 4, 'its input');
  const block = intAttribute(node, 'blocksize', 0);
  if (block < 1) throw new ShapeError(node, `blocksize is ${block}; a positive integer would be accepted`);
  return { x, block };
}

/** Whether the block's place is the slow part of the channels (DCR) or the fast one (CRD). */
function isDepthColumnRow(node: Node): boolean {
  const mode = stringAttribute(node, 'mode', 'DCR');
  if (mode === 'DCR' || mode === 'CRD') return mode === 'DCR';
  throw new ShapeError(node, `mode is "${mode}"; DCR or CRD would be accepted`);
}

/** DepthToSpace: channels become the pixels of blocks. */
const depthToSpace = define(
  'DepthToSpace',
  (node, inputs) => {
    const { x, block } = blocked(node, inputs);
    const [batch, channels, height, width] = x.shape as [number, number, number, number];
    isDepthColumnRow(node);
    if (channels % block ** 2 !== 0) {
      throw new ShapeError(
        node,
        `its input is ${formatType(x)}; channels that ${block ** 2} (blocksize squared) divides would be accepted`,
      );
    }
    return [{ dtype: x.dtype, shape: [batch, channels / block ** 2, height * block, width * block] }];
  },
  (node, inputs, [type]) => {
    const { block } = blocked(node, inputs);
    const { shape, data } = operand(node, inputs, 0);
    const [, channels, height, width] = shape as [number, number, number, number];
    const [, depth, tall, wide] = type!.shape as [number, number, number, number];
    const columnFirst = isDepthColumnRow(node);
    const result = valueOf(type!);
    result.data.forEach((_, i) => {
      const [column, row, channel] = [
        i % wide,
        Math.floor(i / wide) % tall,
        Math.floor(i / (wide * tall)) % depth,
      ];
      const place = (row % block) * block + (column % block);
      const from = columnFirst ? place * depth + channel : channel * block ** 2 + place;
      const image = Math.floor(i / (wide * tall * depth)) * channels + from;
      result.data[i] = data[(image * height + Math.floor(row / block)) * width + Math.floor(column / block)]!;
    });
    return [result];
  },
);

/** SpaceToDepth: the pixels of blocks become channels, in the order of DCR. */
const spaceToDepth = define(
  'SpaceToDepth',
  (node, inputs) => {
    const { x, block } = blocked(node, inputs);
    const [batch, channels, height, width] = x.shape as [number, number, number, number];
    if (height % block !== 0 || width % block !== 0) {
      throw new ShapeError(
        node,
        `its input is ${formatType(x)}; a height and width that ${block} (blocksize) divides would be accepted`,
      );
    }
    return [{ dtype: x.dtype, shape: [batch, channels * block ** 2, height / block, width / block] }];
  },
  (node, inputs, [type]) => {
    const { block } = blocked(node, inputs);
    const { shape, data } = operand(node, inputs, 0);
    const [, channels, height, width] = shape as [number, number, number, number];
    const [, depth, rows, columns] = type!.shape as [number, number, number, number];
    const result = valueOf(type!);
    result.data.forEach((_, i) => {
      const [column, row, at] = [
        i % columns,
        Math.floor(i / columns) % rows,
        Math.floor(i / (columns * rows)),
      ];
      const place = Math.floor((at % depth) / channels);
      const image = Math.floor(at / depth) * channels + (at % channels);
      const y = row * block + Math.floor(place / block);
      result.data[i] = data[(image * height + y) * width + column * block + (place % block)]!;
    });
    return [result];
  },
);

export const spaceOperators: readonly OperatorDefinition[] = [depthToSpace, spaceToDepth];
