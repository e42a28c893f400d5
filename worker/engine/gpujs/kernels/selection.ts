import { intAttribute, normalizeAxis, sizeOf, type Node } from '../../../../graph/index.js';
import { Body, CELL, loop } from '../body.js';
import type { CellRule, CellRules } from '../cell.js';
import type { Kernel, KernelContext, KernelRule, KernelRules } from '../kernel.js';
import { literal } from './pointwise.js';

interface Lane {
  readonly outer: number;
  readonly length: number;
  readonly inner: number;
}

/** The lanes along a node's axis. */
function laneOf(node: Node, shape: readonly number[]): Lane {
  const axis = normalizeAxis(intAttribute(node, 'axis', -1), shape.length);
  return {
    outer: sizeOf(shape.slice(0, axis)),
    length: shape[axis]!,
    inner: sizeOf(shape.slice(axis + 1)),
  };
}

/**
 * The k best along an axis: how many elements come before each (equals by their place), then for every rank the
 * element that has it.
 */
const topK: KernelRule = (node, context) => {
  const x = node.inputs[0]!;
  const { shape } = context.typeOf(x);
  const axis = normalizeAxis(intAttribute(node, 'axis', -1), shape.length);
  const lane = laneOf(node, shape);
  const [values = '', indices = ''] = node.outputs;
  const k = context.typeOf(values === '' ? indices : values).shape[axis]!;
  const [ranks, places] = [context.fresh('ranks'), indices === '' ? context.fresh('places') : indices];
  const better = intAttribute(node, 'largest', 1) === 1 ? '>' : '<';
  const kernels = [ranked(x, ranks, lane, better, context), placed(ranks, places, lane, k, context)];
  return values === '' ? kernels : [...kernels, taken(x, places, values, lane, k, context)];
};

function ranked(x: string, output: string, lane: Lane, better: string, context: KernelContext): Kernel {
  const { outer, length, inner } = lane;
  const body = new Body(context.backend);
  const [block, at, within] = body.coordinates([outer, length, inner]);
  const base = body.integer(`${block!} * ${length * inner} + ${within!}`);
  const own = body.load(x, CELL);
  const before = `other ${better} ${own} || (other === ${own} && j < ${at!})`;
  body.add(
    'let rank = 0.5; rank = 0; let other = 0.5;',
    loop(
      context.backend,
      'j',
      0,
      length,
      `other = a0[${base} + j * ${inner}]; if (${before}) { rank = rank + 1; }`,
    ),
  );
  return made(body, 'rank', output, outer * length * inner);
}

function placed(ranks: string, output: string, lane: Lane, k: number, context: KernelContext): Kernel {
  const { outer, length, inner } = lane;
  const body = new Body(context.backend);
  const [block, rank, within] = body.coordinates([outer, k, inner]);
  const base = body.integer(`${block!} * ${length * inner} + ${within!}`);
  body.load(ranks, base);
  body.add(
    'let found = 0.5; found = 0;',
    loop(context.backend, 'j', 0, length, `if (a0[${base} + j * ${inner}] === ${rank!}) { found = j; }`),
  );
  return made(body, 'found', output, outer * k * inner);
}

function taken(
  x: string,
  places: string,
  output: string,
  lane: Lane,
  k: number,
  context: KernelContext,
): Kernel {
  const { outer, length, inner } = lane;
  const body = new Body(context.backend);
  const [block, , within] = body.coordinates([outer, k, inner]);
  const place = body.integer(`Math.floor(${body.load(places, CELL)} + 0.5)`);
  const result = body.load(x, body.integer(`(${block!} * ${length} + ${place}) * ${inner} + ${within!}`));
  return made(body, result, output, outer * k * inner);
}

/** 1 at the first largest element of each lane: where that is, then which cell is there. */
const hardmax: KernelRule = (node, context) => {
  const [x, output] = [node.inputs[0]!, node.outputs[0]!];
  const { shape } = context.typeOf(x);
  const { outer, length, inner } = laneOf(node, shape);
  const places = context.fresh('places');
  const find = new Body(context.backend);
  const [row, column] = find.coordinates([outer, inner]);
  const base = find.integer(`${row!} * ${length * inner} + ${column!}`);
  const first = find.load(x, base);
  const better = 'if (other > best) { best = other; place = j; }';
  find.add(
    `let best = 0.5; best = ${first}; let place = 0.5; place = 0; let other = 0.5;`,
    loop(context.backend, 'j', 0, length, `other = a0[${base} + j * ${inner}]; ${better}`),
  );
  const mark = new Body(context.backend);
  const [block, at, within] = mark.coordinates([outer, length, inner]);
  const place = mark.load(places, mark.integer(`${block!} * ${inner} + ${within!}`));
  return [
    made(find, 'place', places, outer * inner),
    made(mark, `(${place} === ${at!} ? 1 : 0)`, output, outer * length * inner),
  ];
};

function made(body: Body, result: string, output: string, size: number): Kernel {
  return { source: body.source(result), inputs: body.inputs, output, extents: [size], constants: {} };
}

/** Ones on a diagonal. */
const eyeLike: CellRule = (node, context) => {
  const output = node.outputs[0]!;
  const { shape } = context.typeOf(output);
  const diagonal = intAttribute(node, 'k', 0);
  return [
    {
      node,
      output,
      size: sizeOf(shape),
      reads: [],
      write: (_, body) => {
        const [row, column] = body.coordinates(shape);
        return `(${column!} - ${row!} === ${diagonal} ? 1 : 0)`;
      },
    },
  ];
};

/** More elements of one number than are folded into a constant. */
const constantOfShape: CellRule = (node, context) => {
  const output = node.outputs[0]!;
  const value = node.attributes['value'];
  const fill = value?.kind === 'tensor' ? Number(value.value.data[0]!) : 0;
  const size = sizeOf(context.typeOf(output).shape);
  return [{ node, output, size, reads: [], write: () => literal(fill) }];
};

export const selectionKernels: KernelRules = { Hardmax: hardmax, TopK: topK };
export const selectionCells: CellRules = { ConstantOfShape: constantOfShape, EyeLike: eyeLike };
