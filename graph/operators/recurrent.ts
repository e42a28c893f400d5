import type { Node } from '../ir/graph.js';
import type { TensorType } from '../ir/tensor.js';
import type { OperatorDefinition, Reference } from './definition.js';
import { define, operand, valueOf } from './operands.js';
import { activationOf } from './recurrent-activation.js';
import { isClipped, RECURRENT, recurrentForm, type Direction, type RecurrentForm } from './recurrent-form.js';

/** One direction's weights, and the state of one sequence as it goes through the steps. */
interface Cell {
  readonly h: Float64Array;
  readonly c: Float64Array;
  /** x W' + bias of W, for all gates. */
  readonly input: (x: Float64Array) => Float64Array;
  /** h R' + bias of R, for the gates in [first, last). */
  readonly recurrent: (h: Float64Array, first: number, last: number) => Float64Array;
  /** The peephole weight of a gate (i, o, f) and unit. */
  readonly peephole: (gate: number, unit: number) => number;
  /** f, g and h, with the clipping before them. */
  readonly activations: readonly ((x: number) => number)[];
}

type Step = (cell: Cell, x: Float64Array, form: RecurrentForm) => void;

/** Ht = f(Xt W' + Wb + Ht-1 R' + Rb) */
const rnnStep: Step = ({ h, input, recurrent, activations: [f] }, x) => {
  const [a, b] = [input(x), recurrent(h, 0, 1)];
  h.forEach((_, k) => (h[k] = f!(a[k]! + b[k]!)));
};

/** zt and rt by f; the candidate by g, of the state that rt lets through; Ht = (1 - zt) candidate + zt Ht-1. */
const gruStep: Step = ({ h, input, recurrent, activations: [f, g] }, x, { hidden, resetAfterProduct }) => {
  const a = input(x);
  const b = recurrent(h, 0, 2);
  const gate = (at: number) => Float64Array.from(h, (_, k) => f!(a[at * hidden + k]! + b[at * hidden + k]!));
  const [z, r] = [gate(0), gate(1)];
  const product = resetAfterProduct
    ? recurrent(h, 2, 3).map((value, k) => r[k]! * value)
    : recurrent(
        h.map((value, k) => r[k]! * value),
        2,
        3,
      );
  h.forEach((before, k) => {
    const candidate = g!(a[2 * hidden + k]! + product[k]!);
    h[k] = (1 - z[k]!) * candidate + z[k]! * before;
  });
};

/** The gates i and f see Ct-1 through their peepholes, o sees Ct; Ct = ft Ct-1 + it g(...), Ht = ot h(Ct). */
const lstmStep: Step = (cell, x, { hidden, coupled }) => {
  const [f, g, out] = cell.activations;
  const [a, b] = [cell.input(x), cell.recurrent(cell.h, 0, 4)];
  const sum = (gate: number, k: number) => a[gate * hidden + k]! + b[gate * hidden + k]!;
  cell.c.forEach((before, k) => {
    const i = f!(sum(0, k) + cell.peephole(0, k) * before);
    const forget = coupled ? 1 - i : f!(sum(2, k) + cell.peephole(2, k) * before);
    const c = forget * before + i * g!(sum(3, k));
    const o = f!(sum(1, k) + cell.peephole(1, k) * c);
    cell.c[k] = c;
    cell.h[k] = o * out!(c);
  });
};

/**
 * RNN, GRU and LSTM after the ONNX specification. A step at or beyond a sequence's length leaves the state as it
 * is and gives zeros in Y; the reversed direction runs through the same steps from the last to the first.
 */
function recurrent(operator: string, step: Step): OperatorDefinition {
  return define(operator, inferTypes, (node, inputs, types) => {
    const form = recurrentForm(node, inputs);
    const { steps, batch, features, hidden, directions, batchFirst } = form;
    const x = operand(node, inputs, RECURRENT.X);
    const [y, lastH, lastC] = types.map((type) => valueOf(type));
    const lengths = inputs[RECURRENT.lengths];
    const count = directions.length;
    for (const direction of directions) {
      for (let n = 0; n < batch; n++) {
        const state = (batchFirst ? n * count + direction.index : direction.index * batch + n) * hidden;
        const cell = cellOf(node, inputs, form, direction, state);
        for (let i = 0; i < steps; i++) {
          const t = direction.reversed ? steps - 1 - i : i;
          if (lengths && t >= lengths.data[n]!) continue;
          const row = batchFirst ? n * steps + t : t * batch + n;
          step(cell, x.data.subarray(row * features, (row + 1) * features), form);
          const at = batchFirst
            ? (n * steps + t) * count + direction.index
            : (t * count + direction.index) * batch + n;
          y!.data.set(cell.h, at * hidden);
        }
        lastH!.data.set(cell.h, state);
        lastC?.data.set(cell.c, state);
      }
    }
    return [y, lastH, lastC].filter((value) => value !== undefined);
  });
}

/** Y of every step, the last state and, for LSTM, the last cell state. */
function inferTypes(node: Node, inputs: readonly (TensorType | undefined)[]): TensorType[] {
  const { steps, batch, hidden, directions, batchFirst } = recurrentForm(node, inputs);
  const { dtype } = operand(node, inputs, RECURRENT.X);
  const count = directions.length;
  const state = { dtype, shape: batchFirst ? [batch, count, hidden] : [count, batch, hidden] };
  const y = { dtype, shape: batchFirst ? [batch, steps, count, hidden] : [steps, count, batch, hidden] };
  return node.operator === 'LSTM' ? [y, state, state] : [y, state];
}

function cellOf(
  node: Node,
  inputs: readonly (Reference | undefined)[],
  { gates, features, hidden, clip }: RecurrentForm,
  { index, activations }: Direction,
  state: number,
): Cell {
  const all = gates * hidden;
  const part = (input: number, size: number) =>
    inputs[input]?.data.subarray(index * size, (index + 1) * size);
  const [w, r] = [part(RECURRENT.W, all * features)!, part(RECURRENT.R, all * hidden)!];
  const bias = part(RECURRENT.B, 2 * all);
  const isLstm = node.operator === 'LSTM';
  const peepholes = isLstm ? part(RECURRENT.P, 3 * hidden) : undefined;
  const initial = (input: number) =>
    inputs[input]?.data.slice(state, state + hidden) ?? new Float64Array(hidden);
  const dot = (matrix: Float64Array, row: number, v: Float64Array) =>
    v.reduce((sum, value, j) => sum + value * matrix[row * v.length + j]!, 0);
  const clipped = (x: number) => (clip === undefined ? x : Math.min(Math.max(x, -clip), clip));
  return {
    h: initial(RECURRENT.h),
    c: isLstm ? initial(RECURRENT.c) : new Float64Array(hidden),
    input: (x) => Float64Array.from({ length: all }, (_, row) => dot(w, row, x) + (bias?.[row] ?? 0)),
    recurrent: (h, first, last) =>
      Float64Array.from({ length: (last - first) * hidden }, (_, i) => {
        const row = first * hidden + i;
        return dot(r, row, h) + (bias?.[all + row] ?? 0);
      }),
    peephole: (gate, unit) => peepholes?.[gate * hidden + unit] ?? 0,
    activations: activations.map((activation, at) => {
      const of = activationOf(activation);
      return isClipped(at) ? (x: number) => of(clipped(x)) : of;
    }),
  };
}

export const recurrentOperators: readonly OperatorDefinition[] = [
  recurrent('RNN', rnnStep),
  recurrent('GRU', gruStep),
  recurrent('LSTM', lstmStep),
];
