import {
  intAttribute,
  normalizeAxis,
  sizeOf,
  stringAttribute,
  stridesOf,
  type Node,
} from '../../../../graph/index.js';
import { Body, CELL, loop, sum } from '../body.js';
import type { Kernel, KernelContext, KernelRule, KernelRules } from '../kernel.js';
import { integers } from './integers.js';

/** What happens where an update meets an element; several updates of one element are applied in order. */
function combined(node: Node, old: string, update: string): string {
  switch (stringAttribute(node, 'reduction', 'none')) {
    case 'add':
      return `${old} + ${update}`;
    case 'mul':
      return `${old} * ${update}`;
    case 'max':
      return `Math.max(${old}, ${update})`;
    case 'min':
      return `Math.min(${old}, ${update})`;
    default:
      return update;
  }
}

function kernelOf(body: Body, result: string, output: string, size: number): Kernel {
  return { source: body.source(result), inputs: body.inputs, output, extents: [size], constants: {} };
}

/** Every cell looks through the indices of its lane for those that name it. */
const scatterElements: KernelRule = (node, context) => {
  const [data, indices, updates] = node.inputs as [string, string, string];
  const { shape } = context.typeOf(data);
  const given = context.typeOf(indices).shape;
  const axis = normalizeAxis(intAttribute(node, 'axis', 0), shape.length);
  const strides = stridesOf(given);
  const length = shape[axis]!;
  const body = new Body(context.backend);
  const coordinates = body.coordinates(shape);
  // outside of the indices on another axis nothing is updated; the places stay inside for lanes that do not count
  const inside = coordinates.flatMap((at, k) =>
    k !== axis && given[k]! < shape[k]! ? [`${at} < ${given[k]!}`] : [],
  );
  const terms = coordinates.flatMap((at, k) => {
    if (k === axis) return [];
    const clamped = given[k]! < shape[k]! ? body.integer(`Math.min(${at}, ${given[k]! - 1})`) : at;
    return [`${clamped} * ${strides[k]!}`];
  });
  const base = body.integer(sum(terms));
  const own = body.load(data, CELL);
  body.load(indices, base);
  body.load(updates, base);
  const [index, update] = [indices, updates].map((name) => `a${body.inputs.indexOf(name)}`);
  const turn = [
    `p = ${base} + j * ${strides[axis]!};`,
    `named = ${index!}[p];`,
    `wanted = (named < 0 ? named + ${length} : named);`,
    `if (${[`wanted === ${coordinates[axis]!}`, ...inside].join(' && ')}) {`,
    `x = ${update!}[p];`,
    `total = ${combined(node, 'total', 'x')};`,
    '}',
  ];
  body.add(
    `let total = ${own};`,
    'let x = 0.5; let named = 0.5; let wanted = 0.5;',
    integers(context.backend, 'p'),
    loop(context.backend, 'j', 0, given[axis]!, turn.join(' ')),
  );
  return [kernelOf(body, 'total', node.outputs[0]!, sizeOf(shape))];
};

/**
 * Updates of whole blocks, each named by a tuple of coordinates. Three small launches chain the tuples that name one
 * block (which block each names, the first of each block, the next after each); then a cell follows its chain.
 */
const scatterND: KernelRule = (node, context) => {
  const [data, indices, updates] = node.inputs as [string, string, string];
  const { shape } = context.typeOf(data);
  const given = context.typeOf(indices).shape;
  const depth = given.at(-1)!;
  const tuples = sizeOf(given.slice(0, -1));
  const inner = sizeOf(shape.slice(depth));
  const rows = sizeOf(shape.slice(0, depth));
  const [named, head, next] = ['named', 'head', 'next'].map((hint) => context.fresh(hint)) as [
    string,
    string,
    string,
  ];
  return [
    blocksNamed(indices, named, shape.slice(0, depth), tuples, context),
    chainStart(named, head, rows, tuples, context),
    chainNext(named, next, tuples, context),
    chainEnd(node, { data, updates, head, next, inner, rows, tuples }, context),
  ];
};

/** Which block every tuple names, as a row-major number. */
function blocksNamed(
  indices: string,
  output: string,
  dims: readonly number[],
  tuples: number,
  context: KernelContext,
): Kernel {
  const body = new Body(context.backend);
  const strides = stridesOf(dims);
  const terms = dims.map((dim, k) => {
    const index = body.load(indices, body.integer(sum([`${CELL} * ${dims.length}`, k])));
    return `${body.let(`(${index} < 0 ? ${index} + ${dim} : ${index})`)} * ${strides[k]!}`;
  });
  return kernelOf(body, body.let(sum(terms)), output, tuples);
}

/** The first tuple that names each block; -1 for none. */
function chainStart(
  named: string,
  output: string,
  rows: number,
  tuples: number,
  context: KernelContext,
): Kernel {
  const body = new Body(context.backend);
  body.load(named, '0');
  body.add(
    'let found = -1.5; found = -1;',
    loop(context.backend, 'j', 0, tuples, `if (found < 0 && a0[j] === ${CELL}) { found = j; }`),
  );
  return kernelOf(body, 'found', output, rows);
}

/** The next tuple after each that names the same block; -1 for none. */
function chainNext(named: string, output: string, tuples: number, context: KernelContext): Kernel {
  const body = new Body(context.backend);
  const own = body.load(named, CELL);
  body.add(
    'let found = -1.5; found = -1;',
    loop(context.backend, 'j', 0, tuples, `if (found < 0 && j > ${CELL} && a0[j] === ${own}) { found = j; }`),
  );
  return kernelOf(body, 'found', output, tuples);
}

interface Chains {
  readonly data: string;
  readonly updates: string;
  readonly head: string;
  readonly next: string;
  readonly inner: number;
  readonly rows: number;
  readonly tuples: number;
}

function chainEnd(node: Node, chains: Chains, context: KernelContext): Kernel {
  const { data, updates, head, next, inner, rows, tuples } = chains;
  const body = new Body(context.backend);
  const [row, within] = body.divide(CELL, inner, rows * inner);
  const own = body.load(data, CELL);
  const first = body.load(head, row);
  body.load(updates, within);
  body.load(next, '0');
  const [update, after] = [updates, next].map((name) => `a${body.inputs.indexOf(name)}`);
  const turn = [
    'if (t < 0) { break; }',
    `at = t;`,
    `x = ${update!}[at * ${inner} + ${within}];`,
    `total = ${combined(node, 'total', 'x')};`,
    `t = ${after!}[at];`,
  ];
  body.add(
    `let total = ${own};`,
    `let t = ${first};`,
    'let x = 0.5;',
    integers(context.backend, 'at'),
    loop(context.backend, 'n', 0, tuples, turn.join(' ')),
  );
  return kernelOf(body, 'total', node.outputs[0]!, rows * inner);
}

export const scatterKernels: KernelRules = {
  ScatterElements: scatterElements,
  ScatterND: scatterND,
};
