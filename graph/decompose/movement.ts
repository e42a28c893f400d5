import { attribute, intAttribute, stringAttribute } from '../ir/graph.js';
import { sizeOf } from '../ir/tensor.js';
import { tupleRows, type NodeFormula } from '../formula/index.js';
import { centredAxes } from '../operators/center-crop-pad.js';
import type { DecompositionTable } from './table.js';

/** Blocks of depth as blocks of space: the block's rows and columns are the first (DCR) or second (CRD) axes of depth. */
function depthToSpace(d: NodeFormula): string {
  const [batch, channels, height, width] = d.shapeOf(d.x) as [number, number, number, number];
  const block = intAttribute(d.node, 'blocksize', 1);
  const depth = channels / block ** 2;
  const blockFirst = stringAttribute(d.node, 'mode', 'DCR') === 'DCR';
  const apart = blockFirst
    ? d.transpose(d.reshape(d.x, [batch, block, block, depth, height, width]), [0, 3, 4, 1, 5, 2])
    : d.transpose(d.reshape(d.x, [batch, depth, block, block, height, width]), [0, 1, 4, 2, 5, 3]);
  return d.reshape(apart, [batch, depth, height * block, width * block]);
}

function spaceToDepth(d: NodeFormula): string {
  const [batch, depth, height, width] = d.shapeOf(d.x) as [number, number, number, number];
  const block = intAttribute(d.node, 'blocksize', 1);
  const [rows, columns] = [height / block, width / block];
  const apart = d.reshape(d.x, [batch, depth, rows, block, columns, block]);
  return d.reshape(d.transpose(apart, [0, 3, 5, 1, 2, 4]), [batch, depth * block ** 2, rows, columns]);
}

/** Rows of a table, one for every tuple: onnxruntime's ScatterND loses additions on several threads, this does not. */
function scatterND(d: NodeFormula): string {
  const shape = d.shapeOf(d.x);
  const { rows, count, width } = tupleRows(d, shape, d.input(1), 0);
  const tuples = sizeOf(d.shapeOf(rows));
  const places = d.expandTo(d.reshape(rows, [tuples, 1]), [tuples, width]);
  const table = d.one(
    'ScatterElements',
    [d.reshape(d.x, [count, width]), places, d.reshape(d.input(2), [tuples, width])],
    { axis: attribute.int(0), reduction: attribute.string(stringAttribute(d.node, 'reduction', 'none')) },
  );
  return d.reshape(table, shape);
}

function centerCropPad(d: NodeFormula): string {
  const shape = d.shapeOf(d.x);
  const axes = centredAxes(d.node, shape, d.numbersOf(1) ?? []);
  const after = axes.map(({ start, length }, axis) => length + start - shape[axis]!);
  return d.pad(
    d.x,
    axes.map(({ start }) => -start),
    after,
  );
}

/** Operators that only move elements. */
export const movement: DecompositionTable = {
  CenterCropPad: (d) => [centerCropPad(d)],
  DepthToSpace: (d) => [depthToSpace(d)],
  SpaceToDepth: (d) => [spaceToDepth(d)],
  ScatterND: (d) => [scatterND(d)],
};
