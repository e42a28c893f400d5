import { intAttribute, normalizeAxis, sizeOf, stridesOf, type Node } from '../../../../graph/index.js';
import { CELL, sum, type Body } from '../body.js';
import type { CellRule, CellRules, Place } from '../cell.js';
import { known } from '../errors.js';
import { literal } from './pointwise.js';

/**
 * The place on an axis of `length` that an index names: negative from the end. What points outside was refused where
 * it came in; what a graph computed itself is brought inside, since a GPU cannot fail.
 */
function indexOf(index: string, length: number, body: Body): string {
  const rounded = body.let(`Math.floor(${index} + 0.5)`);
  const positive = body.let(`(${index} < 0 ? ${rounded} + ${length} : ${rounded})`);
  return body.integer(`Math.min(Math.max(${positive}, 0), ${length - 1})`);
}

/** Whole slices of an axis, one for every index. */
const gather: CellRule = (node, context) => {
  const [data, indices] = node.inputs as [string, string];
  const { shape } = context.typeOf(data);
  const count = sizeOf(context.typeOf(indices).shape);
  const axis = normalizeAxis(intAttribute(node, 'axis', 0), shape.length);
  const inner = sizeOf(shape.slice(axis + 1));
  const length = shape[axis]!;
  const blocks = [sizeOf(shape.slice(0, axis)), count, inner];
  const output = node.outputs[0]!;
  const place: Place = (body, [index]) => {
    const [outer, , within] = body.coordinates(blocks);
    return body.integer(`(${outer!} * ${length} + ${indexOf(index!, length, body)}) * ${inner} + ${within!}`);
  };
  return [
    {
      node,
      output,
      size: sizeOf(blocks),
      reads: [
        { value: indices, place: (body) => body.coordinates(blocks)[1]! },
        { value: data, place },
      ],
      write: ([, x]) => x!,
    },
  ];
};

const gatherElements: CellRule = (node, context) => {
  const [data, indices] = node.inputs as [string, string];
  const { shape } = context.typeOf(data);
  const axis = normalizeAxis(intAttribute(node, 'axis', 0), shape.length);
  const strides = stridesOf(shape);
  const output = node.outputs[0]!;
  const target = context.typeOf(output).shape;
  const place: Place = (body, [index]) => {
    const coordinates = body.coordinates(target);
    const terms = coordinates.map(
      (coordinate, k) => `${k === axis ? indexOf(index!, shape[axis]!, body) : coordinate} * ${strides[k]!}`,
    );
    return body.integer(sum(terms));
  };
  return [
    {
      node,
      output,
      size: sizeOf(target),
      reads: [
        { value: indices, place: 'cell' },
        { value: data, place },
      ],
      write: ([, x]) => x!,
    },
  ];
};

/** Tuples of coordinates, each naming a block; after `batch_dims` axes in common. */
const gatherND: CellRule = (node, context) => {
  const [data, indices] = node.inputs as [string, string];
  const { shape } = context.typeOf(data);
  const tuples = context.typeOf(indices).shape;
  const depth = tuples.at(-1)!;
  const batch = intAttribute(node, 'batch_dims', 0);
  const strides = stridesOf(shape);
  const batches = sizeOf(shape.slice(0, batch));
  const inner = sizeOf(shape.slice(batch + depth));
  const perBatch = sizeOf(tuples.slice(batch, -1));
  const blocks = [batches, perBatch, inner];
  const tupleAt = (body: Body): string => {
    const [block, tuple] = body.coordinates(blocks);
    return body.integer(`(${block!} * ${perBatch} + ${tuple!}) * ${depth}`);
  };
  const place: Place = (body, earlier) => {
    const [block, , within] = body.coordinates(blocks);
    const terms = earlier.map(
      (index, k) => `${indexOf(index, shape[batch + k]!, body)} * ${strides[batch + k]!}`,
    );
    return body.integer(sum([`${block!} * ${sizeOf(shape.slice(batch))}`, ...terms, within!]));
  };
  const output = node.outputs[0]!;
  return [
    {
      node,
      output,
      size: sizeOf(blocks),
      reads: [
        ...Array.from({ length: depth }, (_, k) => ({
          value: indices,
          place: (body: Body) => body.integer(`${tupleAt(body)} + ${k}`),
        })),
        { value: data, place },
      ],
      write: (operands) => operands.at(-1)!,
    },
  ];
};

/** `on` where the coordinate along the new axis is the index, `off` elsewhere and for indices outside. */
const oneHot: CellRule = (node, context) => {
  const [indices, , values] = node.inputs as [string, string, string];
  const { shape } = context.typeOf(indices);
  const output = node.outputs[0]!;
  const target = context.typeOf(output).shape;
  const axis = normalizeAxis(intAttribute(node, 'axis', -1), shape.length + 1);
  const depth = target[axis]!;
  const blocks = [sizeOf(shape.slice(0, axis)), depth, sizeOf(shape.slice(axis))];
  return [
    {
      node,
      output,
      size: sizeOf(target),
      reads: [
        { value: indices, place: (body) => body.place(blocks, [blocks[2]!, 0, 1]) },
        { value: values, place: () => '0' },
        { value: values, place: () => '1' },
      ],
      write: ([index, off, on], body) => {
        const at = body.coordinates(blocks)[1]!;
        const wanted = body.let(`(${index!} < 0 ? ${index!} + ${depth} : ${index!})`);
        return `(${wanted} === ${at} ? ${on!} : ${off!})`;
      },
    },
  ];
};

/** start, start + delta, ... */
const range: CellRule = (node, context) => {
  const output = node.outputs[0]!;
  const [start, , delta] = node.inputs.map(
    (name) => known(context.constantOf(name), 'start, limit and delta')[0]!,
  );
  const size = sizeOf(context.typeOf(output).shape);
  return [
    { node, output, size, reads: [], write: () => `(${CELL} * ${literal(delta!)} + ${literal(start!)})` },
  ];
};

/** Of each sample, the first steps in reverse, as many as its length says; lengths beyond the axis mean all. */
const reverseSequence: CellRule = (node, context) => {
  const [data, lengths] = node.inputs as [string, string];
  const { shape } = context.typeOf(data);
  const [batch, time] = [intAttribute(node, 'batch_axis', 1), intAttribute(node, 'time_axis', 0)];
  const blocks = [shape[0]!, shape[1]!, sizeOf(shape.slice(2))];
  const place: Place = (body, [length]) => {
    const coordinates = body.coordinates(blocks);
    const at = coordinates[time]!;
    const count = body.let(`Math.min(Math.floor(${length!} + 0.5), ${blocks[time]!})`);
    const move = body.let(`(${at} < ${count} ? ${count} - 1 - 2 * ${at} : 0)`);
    const from = body.integer(`Math.floor(${move} + ${at} + 0.5)`);
    const row = time === 0 ? [from, coordinates[1]!] : [coordinates[0]!, from];
    return body.integer(`(${row[0]!} * ${blocks[1]!} + ${row[1]!}) * ${blocks[2]!} + ${coordinates[2]!}`);
  };
  return [
    {
      node,
      output: node.outputs[0]!,
      size: sizeOf(shape),
      reads: [
        { value: lengths, place: (body) => body.coordinates(blocks)[batch]! },
        // one step stays where it is
        { value: data, place: blocks[time] === 1 ? 'cell' : place },
      ],
      write: ([, x]) => x!,
    },
  ];
};

export const indexingCells: CellRules = {
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherND,
  OneHot: oneHot,
  Range: range,
  ReverseSequence: reverseSequence,
};

/** The operators whose input 1 must hold indices into input 0, and how long the axis is that each of them names. */
export function indexedLengths(
  node: Node,
  shape: readonly number[],
  indices: readonly number[],
): readonly number[] {
  switch (node.operator) {
    case 'Gather':
      return [shape[normalizeAxis(intAttribute(node, 'axis', 0), shape.length)]!];
    case 'GatherElements':
    case 'ScatterElements':
      return [shape[normalizeAxis(intAttribute(node, 'axis', 0), shape.length)]!];
    case 'GatherND': {
      const batch = intAttribute(node, 'batch_dims', 0);
      return shape.slice(batch, batch + indices.at(-1)!);
    }
    case 'ScatterND':
      return shape.slice(0, indices.at(-1));
    case 'ReverseSequence':
      // lengths, of which that of the whole axis is one more than an index
      return [shape[intAttribute(node, 'time_axis', 0)]! + 1];
    default:
      return [];
  }
}
