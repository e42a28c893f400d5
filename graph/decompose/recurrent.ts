import { ShapeError } from '../errors.js';
import type { NodeFormula } from '../formula/index.js';
import {
  isClipped,
  RECURRENT,
  recurrentForm,
  type Direction,
  type RecurrentForm,
} from '../operators/recurrent-form.js';
import { writeActivation } from './recurrent-activation.js';
import { CELLS, TRANSPOSED, type Cell, type State, type Weights } from './recurrent-cell.js';
import type { Decomposition, DecompositionTable } from './table.js';

/** Longer sequences are refused: each step is written out, in about 30 nodes with its gradient. */
const MOST_STEPS = 4096;

/** What one direction gives: the state after each step, in the order of the sequence, and the last. */
interface Run {
  readonly states: readonly string[];
  readonly last: { readonly h: string; readonly c: string | undefined };
}

/**
 * RNN, GRU and LSTM unrolled over the sequence: the inputs of all steps are projected in one product, a step is
 * one product (GRU: two) and its gates. Steps beyond a sequence's length keep the state (`sequence_lens`).
 * @throws ShapeError where a sequence has more than MOST_STEPS steps
 */
function unroll(cell: Cell): Decomposition {
  return (d) => {
    const form = recurrentForm(
      d.node,
      d.node.inputs.map((input) => (input === '' ? undefined : d.typeOf(input))),
    );
    if (form.steps > MOST_STEPS) {
      throw new ShapeError(
        d.node,
        `has ${form.steps} steps; dtrain writes each out and takes up to ${MOST_STEPS}. Train on shorter pieces of the sequence`,
      );
    }
    const x = form.batchFirst ? d.transpose(d.x, [1, 0, 2]) : d.x;
    const rows = d.reshape(x, [form.steps * form.batch, form.features]);
    const lengths = lengthsOf(d, form);
    const runs = form.directions.map((direction) => run(d, cell, form, direction, rows, lengths));
    return [
      d.hasOutput(0) ? sequenceOf(d, form, runs, lengths) : '',
      d.hasOutput(1)
        ? stateOf(
            d,
            form,
            runs.map(({ last }) => last.h),
          )
        : '',
      ...(d.hasOutput(2)
        ? [
            stateOf(
              d,
              form,
              runs.map(({ last }) => last.c!),
            ),
          ]
        : []),
    ];
  };
}

function run(
  d: NodeFormula,
  cell: Cell,
  form: RecurrentForm,
  direction: Direction,
  rows: string,
  lengths: Lengths | undefined,
): Run {
  const { steps, batch, hidden, gates } = form;
  const all = gates * hidden;
  const w = partOf(d, RECURRENT.W, direction, [all, form.features]);
  const { projection, candidate } = biasesOf(d, form, direction);
  const projected = cell.groups.map(([from, to]) => {
    const part = (value: string) => d.slice(value, [{ axis: 0, start: from * hidden, end: to * hidden }]);
    const bias = projection === undefined ? [] : [part(projection)];
    const product = d.one('Gemm', [rows, part(w), ...bias], TRANSPOSED);
    return d.split(product, new Array<number>(steps).fill(batch), 0);
  });
  const weights: Weights = {
    recurrent: partOf(d, RECURRENT.R, direction, [all, hidden]),
    candidateBias: candidate,
    peepholes: peepholesOf(d, form, direction),
    activate: direction.activations.map((activation, at) => (value: string) => {
      const clipped =
        form.clip === undefined || !isClipped(at) ? value : d.clip(value, -form.clip, form.clip);
      return writeActivation(d, activation, clipped);
    }),
  };
  const step = cell.begin(d, form, weights);
  const isLstm = d.node.operator === 'LSTM';
  let state: State = {
    h: initialState(d, RECURRENT.h, form, direction),
    c: isLstm ? initialState(d, RECURRENT.c, form, direction) : undefined,
  };
  const states = new Array<string>(steps);
  for (let i = 0; i < steps; i++) {
    const t = direction.reversed ? steps - 1 - i : i;
    const next = step(
      projected.map((pieces) => pieces[t]!),
      state,
    );
    const valid = lengths?.maskAt(t);
    const kept = (value: string, before: string | undefined) =>
      valid === undefined ? value : d.where(valid, value, before ?? 0);
    state = { h: kept(next.h, state.h), c: next.c === undefined ? undefined : kept(next.c, state.c) };
    states[t] = state.h!;
  }
  return { states, last: { h: state.h!, c: state.c } };
}

/** A direction's part of W, R, B or P, without the axis of directions. */
function partOf(d: NodeFormula, input: number, { index }: Direction, shape: readonly number[]): string {
  return d.reshape(d.slice(d.input(input), [{ axis: 0, start: index, end: index + 1 }]), shape);
}

/**
 * The bias of the projected inputs: both biases summed; but where GRU's reset gate multiplies the recurrent bias
 * of the candidate, that one apart.
 */
function biasesOf(
  d: NodeFormula,
  { gates, hidden, resetAfterProduct }: RecurrentForm,
  direction: Direction,
): { readonly projection: string | undefined; readonly candidate: string | undefined } {
  if (!d.hasInput(RECURRENT.B)) return { projection: undefined, candidate: undefined };
  const all = gates * hidden;
  const both = partOf(d, RECURRENT.B, direction, [2 * all]);
  if (d.node.operator !== 'GRU' || !resetAfterProduct) {
    const [w, r] = d.split(both, [all, all], 0) as [string, string];
    return { projection: d.add(w, r), candidate: undefined };
  }
  const parts = d.split(both, [2 * hidden, hidden, 2 * hidden, hidden], 0);
  const [wGates, wCandidate, rGates, rCandidate] = parts as [string, string, string, string];
  return { projection: d.concat([d.add(wGates, rGates), wCandidate], 0), candidate: rCandidate };
}

function peepholesOf(d: NodeFormula, { hidden }: RecurrentForm, direction: Direction): string[] | undefined {
  if (d.node.operator !== 'LSTM' || !d.hasInput(RECURRENT.P)) return undefined;
  return d.split(partOf(d, RECURRENT.P, direction, [3 * hidden]), [hidden, hidden, hidden], 0);
}

/** An initial state [N, H]; undefined where it is zeros, as exporters write it. */
function initialState(
  d: NodeFormula,
  input: number,
  { batch, hidden, batchFirst }: RecurrentForm,
  { index }: Direction,
): string | undefined {
  if (!d.hasInput(input)) return undefined;
  const value = d.input(input);
  const constant = d.builder.constantOf(value);
  if (constant?.data.every((each) => Number(each) === 0)) return undefined;
  const axis = batchFirst ? 1 : 0;
  return d.reshape(d.slice(value, [{ axis, start: index, end: index + 1 }]), [batch, hidden]);
}

interface Lengths {
  /** [N, 1], true where a sequence has a step `t`; undefined where all are known to have one. */
  readonly maskAt: (t: number) => string | undefined;
  /** [T, 1, N, 1], of all steps. */
  readonly mask: () => string;
}

/** undefined where every sequence is known to have all steps. */
function lengthsOf(d: NodeFormula, { steps, batch }: RecurrentForm): Lengths | undefined {
  if (!d.hasInput(RECURRENT.lengths)) return undefined;
  const value = d.input(RECURRENT.lengths);
  const { dtype } = d.typeOf(value);
  const known = d.builder.constantOf(value);
  const shortest = known ? Math.min(...Array.from(known.data, Number)) : 0;
  if (shortest >= steps) return undefined;
  const column = d.reshape(value, [batch, 1]);
  return {
    maskAt: (t) => (t < shortest ? undefined : d.greater(column, t)),
    mask: () => {
      const times = d.constant(
        dtype,
        [steps, 1, 1, 1],
        Array.from({ length: steps }, (_, t) => t),
      );
      return d.less(times, d.reshape(value, [1, 1, batch, 1]));
    },
  };
}

/** Y: [T, D, N, H], or [N, T, D, H]; zeros beyond a sequence's length. */
function sequenceOf(
  d: NodeFormula,
  { steps, batch, hidden, batchFirst }: RecurrentForm,
  runs: readonly Run[],
  lengths: Lengths | undefined,
): string {
  const each = runs.map(({ states }) => d.reshape(d.concat(states, 0), [steps, 1, batch, hidden]));
  const joined = d.concat(each, 1);
  const y = lengths ? d.where(lengths.mask(), joined, 0) : joined;
  return batchFirst ? d.transpose(y, [2, 0, 1, 3]) : y;
}

/** Y_h or Y_c: [D, N, H], or [N, D, H]. */
function stateOf(
  d: NodeFormula,
  { batch, hidden, batchFirst }: RecurrentForm,
  states: readonly string[],
): string {
  const shape = batchFirst ? [batch, 1, hidden] : [1, batch, hidden];
  return d.concat(
    states.map((state) => d.reshape(state, shape)),
    batchFirst ? 1 : 0,
  );
}

export const recurrent: DecompositionTable = {
  RNN: unroll(CELLS['RNN']!),
  GRU: unroll(CELLS['GRU']!),
  LSTM: unroll(CELLS['LSTM']!),
};
