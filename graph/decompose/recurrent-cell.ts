import type { NodeFormula } from '../formula/index.js';
import { attribute } from '../ir/graph.js';
import type { RecurrentForm } from '../operators/recurrent-form.js';

/** What a cell remembers between two steps; undefined is zeros, with which nothing is computed. */
export interface State {
  readonly h: string | undefined;
  /** The cell state of LSTM. */
  readonly c: string | undefined;
}

/** One direction's weights as a step uses them. */
export interface Weights {
  /** R [gates * H, H] of this direction. */
  readonly recurrent: string;
  /** The recurrent bias of GRU's candidate, [H], where the reset gate multiplies it too. */
  readonly candidateBias: string | undefined;
  /** Peepholes of i, o and f, each [H]. */
  readonly peepholes: readonly string[] | undefined;
  /** f, g and h, each after clipping. */
  readonly activate: readonly ((x: string) => string)[];
}

/** A recurrent operator's step. */
export interface Cell {
  /** The rows of W and R, in units of H, that one product of the input covers: each gives its own projection. */
  readonly groups: readonly (readonly [from: number, to: number])[];
  /** From the state and the projected inputs of one step (one for each of `groups`, biases added) to the next. */
  readonly begin: (d: NodeFormula, form: RecurrentForm, weights: Weights) => Step;
}

export type Step = (projected: readonly string[], state: State) => { h: string; c: string | undefined };

/** h R' + projected, in one node. */
function advance(d: NodeFormula, h: string | undefined, weights: string, projected: string): string {
  return h === undefined ? projected : d.one('Gemm', [h, weights, projected], TRANSPOSED);
}

export const TRANSPOSED = { transB: attribute.int(1) };

const rnn: Cell = {
  groups: [[0, 1]],
  begin:
    (d, _form, { recurrent, activate: [f] }) =>
    ([projected], { h }) => ({ h: f!(advance(d, h, recurrent, projected!)), c: undefined }),
};

/** The gates z and r are one product and one activation; the candidate is another. */
const gru: Cell = {
  groups: [
    [0, 2],
    [2, 3],
  ],
  begin: (d, { hidden, batch, resetAfterProduct }, { recurrent, candidateBias, activate: [f, g] }) => {
    const [gateWeights, candidateWeights] = d.split(recurrent, [2 * hidden, hidden], 0) as [string, string];
    const bias = candidateBias === undefined ? [] : [candidateBias];
    const productOf = (h: string | undefined) => {
      if (h !== undefined) return d.one('Gemm', [h, candidateWeights, ...bias], TRANSPOSED);
      return candidateBias === undefined ? undefined : d.expandTo(candidateBias, [batch, hidden]);
    };
    return ([gatesIn, candidateIn], { h }) => {
      const gates = f!(advance(d, h, gateWeights, gatesIn!));
      const [z, r] = d.split(gates, [hidden, hidden], 1) as [string, string];
      let candidate: string;
      if (resetAfterProduct) {
        const product = productOf(h);
        candidate = g!(product === undefined ? candidateIn! : d.add(d.mul(r, product), candidateIn!));
      } else {
        candidate = g!(advance(d, h && d.mul(r, h), candidateWeights, candidateIn!));
      }
      // (1 - z) candidate + z h
      const kept = h === undefined ? d.neg(candidate) : d.sub(h, candidate);
      return { h: d.add(candidate, d.mul(z, kept)), c: undefined };
    };
  },
};

/** All four gates are one product; i, o and f one activation, unless peepholes show o the new cell state. */
const lstm: Cell = {
  groups: [[0, 4]],
  begin: (d, { hidden, coupled }, { recurrent, peepholes, activate: [f, g, out] }) => {
    const open = (sum: string, c: string | undefined) => {
      const [gates, candidate] = d.split(sum, [3 * hidden, hidden], 1) as [string, string];
      const parts = () => [hidden, hidden, hidden];
      if (!peepholes) {
        const [i, o, forget] = d.split(f!(gates), parts(), 1) as [string, string, string];
        return { i, forget, candidate, output: () => o };
      }
      const [pi, po, pf] = peepholes as [string, string, string];
      const [i, o, forget] = d.split(gates, parts(), 1) as [string, string, string];
      const seen = (gate: string, weight: string, value: string | undefined) =>
        f!(value === undefined ? gate : d.add(gate, d.mul(weight, value)));
      return {
        i: seen(i, pi, c),
        forget: coupled || c === undefined ? forget : seen(forget, pf, c),
        candidate,
        output: (next: string) => seen(o, po, next),
      };
    };
    return ([projected], { h, c }) => {
      const { i, forget, candidate, output } = open(advance(d, h, recurrent, projected!), c);
      const taken = d.mul(i, g!(candidate));
      const next = c === undefined ? taken : d.add(d.mul(coupled ? d.sub(1, i) : forget, c), taken);
      return { h: d.mul(output(next), out!(next)), c: next };
    };
  },
};

export const CELLS: Readonly<Record<string, Cell>> = { RNN: rnn, GRU: gru, LSTM: lstm };
