import { sizeOf } from '../ir/tensor.js';
import type { NodeFormula } from '../formula/index.js';
import { einsumOf } from '../operators/einsum-form.js';
import type { DecompositionTable } from './table.js';

/** A value whose axes are labelled, each label once. */
interface Labelled {
  readonly value: string;
  readonly labels: readonly string[];
}

/**
 * Operand by operand, from the left: diagonals are taken and what only one operand has is summed first; then two
 * operands are one matrix product for every value of the labels that both have and that are still needed.
 */
function einsum(d: NodeFormula): string {
  const { operands, output, lengths } = einsumOf(
    d.node,
    d.node.inputs.map((input) => d.shapeOf(input)),
  );
  const terms = operands.map((labels, i) => dropOnes(d, diagonal(d, d.input(i), labels), lengths));
  /** Labels that the output or an operand after the i-th has. */
  const neededAfter = (i: number) =>
    new Set([...output, ...terms.slice(i + 1).flatMap(({ labels }) => labels)]);
  const [first, ...others] = terms as [Labelled, ...Labelled[]];
  const product = others.reduce(
    (left, right, i) => multiply(d, left, right, neededAfter(i + 1)),
    sumAway(d, first, neededAfter(0)),
  );
  return order(d, product, output).value;
}

/** An operand where a label stands for several axes is read along their diagonal. */
function diagonal(d: NodeFormula, value: string, labels: readonly string[]): Labelled {
  const second = labels.findIndex((label, axis) => labels.indexOf(label) < axis);
  if (second < 0) return { value, labels };
  const label = labels[second]!;
  const first = labels.indexOf(label);
  const others = labels.map((_, axis) => axis).filter((axis) => axis !== first && axis !== second);
  const shape = d.shapeOf(value);
  const length = shape[first]!;
  const lead = others.map((axis) => shape[axis]!);
  const flat = d.reshape(d.transpose(value, [...others, first, second]), [...lead, length ** 2]);
  const step = length + 1;
  const read = d.slice(flat, [{ axis: lead.length, start: 0, end: length ** 2, step }]);
  return diagonal(d, read, [...others.map((axis) => labels[axis]!), label]);
}

/** An axis of length 1 that is broadcast is dropped: the others have it. */
function dropOnes(
  d: NodeFormula,
  { value, labels }: Labelled,
  lengths: ReadonlyMap<string, number>,
): Labelled {
  const shape = d.shapeOf(value);
  const kept = labels.filter((label, axis) => shape[axis] === lengths.get(label));
  return {
    value: d.reshape(
      value,
      kept.map((label) => lengths.get(label)!),
    ),
    labels: kept,
  };
}

function sumAway(d: NodeFormula, { value, labels }: Labelled, needed: ReadonlySet<string>): Labelled {
  const axes = labels.flatMap((label, axis) => (needed.has(label) ? [] : [axis]));
  return { value: d.sum(value, axes, false), labels: labels.filter((label) => needed.has(label)) };
}

function multiply(d: NodeFormula, left: Labelled, right: Labelled, needed: ReadonlySet<string>): Labelled {
  const a = sumAway(d, left, new Set([...needed, ...right.labels]));
  const b = sumAway(d, right, new Set([...needed, ...left.labels]));
  const shared = a.labels.filter((label) => b.labels.includes(label));
  const batch = shared.filter((label) => needed.has(label));
  const inner = shared.filter((label) => !needed.has(label));
  const [rows, columns] = [a, b].map(({ labels }) => labels.filter((label) => !shared.includes(label))) as [
    string[],
    string[],
  ];
  const labels = [...batch, ...rows, ...columns];
  const x = order(d, a, [...batch, ...rows, ...inner]).value;
  const y = order(d, b, [...batch, ...inner, ...columns]).value;
  const lengths = new Map(
    [a, b].flatMap((each) => each.labels.map((label, i) => [label, d.shapeOf(each.value)[i]!])),
  );
  const along = (names: readonly string[]) => names.map((label) => lengths.get(label)!);
  if (inner.length === 0) {
    const wide = d.reshape(x, [...along(batch), ...along(rows), ...columns.map(() => 1)]);
    const tall = d.reshape(y, [...along(batch), ...rows.map(() => 1), ...along(columns)]);
    return { value: d.mul(wide, tall), labels };
  }
  const images = batch.length === 0 ? [] : [sizeOf(along(batch))];
  const matrix = d.matmul(
    d.reshape(x, [...images, sizeOf(along(rows)), sizeOf(along(inner))]),
    d.reshape(y, [...images, sizeOf(along(inner)), sizeOf(along(columns))]),
  );
  return { value: d.reshape(matrix, along(labels)), labels };
}

function order(d: NodeFormula, { value, labels }: Labelled, wanted: readonly string[]): Labelled {
  return {
    value: d.transpose(
      value,
      wanted.map((label) => labels.indexOf(label)),
    ),
    labels: wanted,
  };
}

export const sums: DecompositionTable = { Einsum: (d) => [einsum(d)] };
