import { attribute, type Attributes, type Tensor } from '../../../graph/index.js';
import type { Draw, Trial } from './draw.js';

type Make = (draw: Draw) => Trial;

const { int, float, floats, string, strings } = attribute;

/** Activations with how many of alpha and beta each takes. */
const SMOOTH: Readonly<Record<string, number>> = {
  Tanh: 0,
  Sigmoid: 0,
  Softsign: 0,
  Softplus: 0,
  Affine: 2,
  ScaledTanh: 2,
};
const KINKED: Readonly<Record<string, number>> = {
  Relu: 0,
  LeakyRelu: 1,
  Elu: 1,
  ThresholdedRelu: 1,
  HardSigmoid: 2,
};

interface Kind {
  readonly gates: number;
  /** How many activations a direction has. */
  readonly activations: number;
  readonly attributes: (draw: Draw) => Attributes;
}

const RNN: Kind = { gates: 1, activations: 1, attributes: () => ({}) };
const GRU: Kind = {
  gates: 3,
  activations: 2,
  attributes: (draw) => ({ linear_before_reset: int(draw.below(2)) }),
};
const LSTM: Kind = { gates: 4, activations: 3, attributes: (draw) => ({ input_forget: int(draw.below(2)) }) };

/** Names and numbers of the activations of all directions: random ones, or none (the defaults). */
function activationsOf(draw: Draw, count: number, smooth: boolean): Attributes {
  if (draw.flag()) return {};
  const numbers = smooth ? SMOOTH : { ...SMOOTH, ...KINKED };
  const names = Array.from({ length: count }, () => draw.one(Object.keys(numbers)));
  const take = (least: number) =>
    names.filter((name) => numbers[name]! >= least).map(() => 0.3 + draw.uniform());
  return {
    activations: strings(names),
    activation_alpha: floats(take(1)),
    activation_beta: floats(take(2)),
  };
}

/**
 * A recurrent node with any direction, activations and optional operands. Numbers are kept small, so that
 * nothing saturates.
 */
function recurrent(kind: Kind, operator: string, { layout, smooth }: Variant): Make {
  return (draw) => {
    const [steps, batch, features, hidden] = [1, 1, 1, 1].map((least) => draw.between(least, 4)) as [
      number,
      number,
      number,
      number,
    ];
    const direction = draw.one(['forward', 'reverse', 'bidirectional']);
    const count = direction === 'bidirectional' ? 2 : 1;
    const maybe = (tensor: Tensor) => (draw.flag() ? tensor : undefined);
    const weights = (shape: readonly number[]) => draw.floats(shape, -0.8, 0.8);
    const state = () => maybe(weights(layout === 1 ? [batch, count, hidden] : [count, batch, hidden]));
    const rows = kind.gates * hidden;
    const isLstm = operator === 'LSTM';
    const inputs = [
      weights(layout === 1 ? [batch, steps, features] : [steps, batch, features]),
      weights([count, rows, features]),
      weights([count, rows, hidden]),
      maybe(weights([count, 2 * rows])),
      maybe(draw.ints([batch], 1, steps, 'int32')),
      state(),
      ...(isLstm ? [state(), maybe(weights([count, 3 * hidden]))] : []),
    ];
    return {
      inputs,
      outputs: isLstm ? 3 : 2,
      attributes: {
        ...kind.attributes(draw),
        ...activationsOf(draw, count * kind.activations, smooth),
        ...(!smooth && draw.below(4) === 0 ? { clip: float(0.37) } : {}),
        ...(layout === 1 ? { layout: int(1) } : {}),
        direction: string(direction),
        hidden_size: int(hidden),
      },
    };
  };
}

interface Variant {
  readonly layout: 0 | 1;
  /** Without clipping and without activations that have a kink, where differences do not tell the slope. */
  readonly smooth: boolean;
}

function all(variant: Variant): Readonly<Record<string, Make>> {
  return {
    RNN: recurrent(RNN, 'RNN', variant),
    GRU: recurrent(GRU, 'GRU', variant),
    LSTM: recurrent(LSTM, 'LSTM', variant),
  };
}

/** What onnxruntime runs: it has no layout 1. */
export const RECURRENT_TRIALS = all({ layout: 0, smooth: false });
export const SMOOTH_RECURRENT_TRIALS = all({ layout: 0, smooth: true });
/** For comparing the definition with its unrolled form. */
export const BATCH_FIRST_TRIALS = all({ layout: 1, smooth: false });
