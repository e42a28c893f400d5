import { ShapeError } from '../errors.js';
import { stringAttribute, type Node } from '../ir/graph.js';
import { stridesOf } from '../ir/tensor.js';
import { axesIn, checkedShape, define, knownInts, operand, requiredInts, valueOf } from './operands.js';
import type { OperatorDefinition } from './definition.js';

interface AxisPads {
  readonly before: number;
  readonly after: number;
}

/** What is added before and after every axis; negative removes. */
function padsOf(
  node: Node,
  rank: number,
  pads: readonly number[],
  named: readonly number[] | undefined,
): readonly AxisPads[] {
  const axes = named ? axesIn(node, named, rank) : Array.from({ length: rank }, (_, axis) => axis);
  if (pads.length !== 2 * axes.length) {
    throw new ShapeError(
      node,
      `pads [${pads.join(', ')}] must hold a begin and an end for each of ${axes.length} axes`,
    );
  }
  const all = Array.from({ length: rank }, () => ({ before: 0, after: 0 }));
  axes.forEach((axis, i) => (all[axis] = { before: pads[i]!, after: pads[i + axes.length]! }));
  return all;
}

/** Where coordinate `at`, counted from the first kept element, reads from among `dim`; -1 for the constant. */
type Source = (at: number, dim: number) => number;

const MODES: Readonly<Record<string, Source>> = {
  constant: (at, dim) => (at < 0 || at >= dim ? -1 : at),
  edge: (at, dim) => Math.min(Math.max(at, 0), dim - 1),
  reflect: (at, dim) => {
    const inside = Math.abs(at);
    return inside < dim ? inside : 2 * (dim - 1) - inside;
  },
  wrap: (at, dim) => ((at % dim) + dim) % dim,
};

function sourceOf(node: Node): Source {
  const mode = stringAttribute(node, 'mode', 'constant');
  const source = MODES[mode];
  if (source) return source;
  throw new ShapeError(node, `mode is "${mode}"; one of ${Object.keys(MODES).join(', ')} would be accepted`);
}

/** What negative padding leaves of an axis: it removes first, and the rest is padded. */
function keptOf(
  { before, after }: AxisPads,
  dim: number,
): { readonly start: number; readonly length: number } {
  const start = Math.max(0, -before);
  return { start, length: dim - start - Math.max(0, -after) };
}

/** Where each coordinate of a padded axis reads from in the input; -1 for the constant. */
function placesOf(pads: AxisPads, dim: number, from: Source): number[] {
  const kept = keptOf(pads, dim);
  const length = Math.max(0, dim + pads.before + pads.after);
  return Array.from({ length }, (_, at) => {
    const place = from(at - Math.max(0, pads.before), kept.length);
    return place < 0 ? -1 : place + kept.start;
  });
}

/**
 * For every axis of a Pad, where each coordinate of its output reads from in the input; -1 for the fill value.
 * @param pads, named the operands "pads" and "axes"
 */
export function padSources(
  node: Node,
  shape: readonly number[],
  pads: readonly number[],
  named: readonly number[] | undefined,
): readonly (readonly number[])[] {
  const from = sourceOf(node);
  return padsOf(node, shape.length, pads, named).map((each, axis) => placesOf(each, shape[axis]!, from));
}

/** @throws ShapeError where padding would copy elements that are not there */
function checkSource(node: Node, kept: { readonly length: number }, pads: AxisPads, axis: number): void {
  const mode = stringAttribute(node, 'mode', 'constant');
  const widest = Math.max(pads.before, pads.after, 0);
  const most = mode === 'reflect' ? Math.max(kept.length - 1, 0) : kept.length > 0 ? Infinity : 0;
  if (mode === 'constant' || widest <= most) return;
  throw new ShapeError(
    node,
    `mode ${mode} pads axis ${axis} by ${widest}; at most ${most} would be accepted`,
  );
}

const pad = define(
  'Pad',
  (node, inputs, constants) => {
    const { dtype, shape } = operand(node, inputs, 0);
    sourceOf(node);
    const pads = padsOf(
      node,
      shape.length,
      requiredInts(node, inputs, constants, 1, 'pads'),
      knownInts(node, inputs, constants, 3, 'axes'),
    );
    const padded = shape.map((dim, axis) => dim + pads[axis]!.before + pads[axis]!.after);
    pads.forEach((each, axis) => checkSource(node, keptOf(each, shape[axis]!), each, axis));
    return [{ dtype, shape: checkedShape(node, padded) }];
  },
  (node, inputs, [type]) => {
    const source = operand(node, inputs, 0);
    const rank = source.shape.length;
    const named = inputs[3] && Array.from(inputs[3].data);
    const fill = inputs[2]?.data[0] ?? 0;
    const strides = stridesOf(source.shape);
    // The offset of every coordinate of every axis; an element outside on any axis reads the constant.
    const tables = padSources(node, source.shape, Array.from(operand(node, inputs, 1).data), named);
    const result = valueOf(type!);
    const outer = stridesOf(type!.shape);
    result.data.forEach((_, i) => {
      let offset = 0;
      for (let axis = 0; axis < rank; axis++) {
        const at = tables[axis]![Math.floor(i / outer[axis]!) % type!.shape[axis]!]!;
        if (at < 0) {
          result.data[i] = fill;
          return;
        }
        offset += at * strides[axis]!;
      }
      result.data[i] = source.data[offset]!;
    });
    return [result];
  },
);

export const padOperators: readonly OperatorDefinition[] = [pad];
