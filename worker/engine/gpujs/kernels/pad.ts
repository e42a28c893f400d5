import { normalizeAxis, sizeOf, stringAttribute, stridesOf } from '../../../../graph/index.js';
import { sum, type Body } from '../body.js';
import type { CellRule, Read } from '../cell.js';
import { known } from '../errors.js';
import { literal } from './pointwise.js';

interface Axis {
  /** Elements of the input's axis that negative padding leaves, from `first` on. */
  readonly first: number;
  readonly kept: number;
  readonly before: number;
  readonly after: number;
  readonly stride: number;
}

/** The place on an axis that coordinate `at` reads from, counted from `first`; clamped for the constant mode. */
function placeOn(axis: Axis, at: string, mode: string, body: Body): string {
  const { before, after, kept } = axis;
  if (before === 0 && after === 0) return at;
  const local = before === 0 ? at : body.integer(`${at} - ${before}`);
  switch (mode) {
    case 'reflect': {
      const inside = body.integer(`Math.abs(${local})`);
      return body.integer(`Math.min(${inside}, ${2 * (kept - 1)} - ${inside})`);
    }
    case 'wrap': {
      const turns = Math.ceil(before / kept);
      return body.divide(
        body.integer(`${local} + ${turns * kept}`),
        kept,
        before + kept + after + turns * kept,
      )[1];
    }
    default:
      return body.integer(`Math.min(Math.max(${local}, 0), ${kept - 1})`);
  }
}

export const padCells: CellRule = (node, context) => {
  const { shape } = context.typeOf(node.inputs[0]!);
  const output = node.outputs[0]!;
  const target = context.typeOf(output).shape;
  const mode = stringAttribute(node, 'mode', 'constant');
  const given = (index: number): readonly number[] | undefined =>
    (node.inputs[index] ?? '') === '' ? undefined : known(context.constantOf(node.inputs[index]!), 'pads');
  const pads = given(1)!;
  const named = (given(3) ?? shape.map((_, axis) => axis)).map((axis) => normalizeAxis(axis, shape.length));
  const strides = stridesOf(shape);
  const axes: Axis[] = shape.map((dim, axis) => {
    const at = named.indexOf(axis);
    const [before, after] = at < 0 ? [0, 0] : [pads[at]!, pads[at + named.length]!];
    const first = Math.max(0, -before);
    const kept = dim - first - Math.max(0, -after);
    return { first, kept, before: Math.max(0, before), after: Math.max(0, after), stride: strides[axis]! };
  });
  const start = axes.reduce((total, { first, stride }) => total + first * stride, 0);
  const place = (body: Body): string => {
    const coordinates = body.coordinates(target);
    const terms = axes.map((axis, k) => `${placeOn(axis, coordinates[k]!, mode, body)} * ${axis.stride}`);
    return body.integer(sum([...terms, start]));
  };
  const fill = (node.inputs[2] ?? '') === '' ? undefined : node.inputs[2]!;
  const reads: Read[] = [{ value: node.inputs[0]!, place }];
  if (fill !== undefined && mode === 'constant') reads.push({ value: fill, place: () => '0' });
  return [
    {
      node,
      output,
      size: sizeOf(target),
      reads,
      write: ([x, constant], body) => {
        if (mode !== 'constant') return x!;
        const coordinates = body.coordinates(target);
        const tests = axes.flatMap(({ before, after, kept }, axis) => [
          ...(before > 0 ? [`${coordinates[axis]!} >= ${before}`] : []),
          ...(after > 0 ? [`${coordinates[axis]!} < ${before + kept}`] : []),
        ]);
        return tests.length === 0 ? x! : `(${tests.join(' && ')} ? ${x!} : ${constant ?? literal(0)})`;
      },
    },
  ];
};
