import { ShapeError } from '../errors.js';
import { floatAttribute, intAttribute, intsAttribute, stringAttribute, type Node } from '../ir/graph.js';
import { formatType, type TensorType } from '../ir/tensor.js';
import { ACTIVATIONS, type Activation } from './recurrent-activation.js';
import { operand, ranked, sameType } from './operands.js';

/** Which recurrent operator, by how many gates a step computes and how many activations it takes. */
const KINDS = {
  RNN: { gates: 1, activations: ['Tanh'] },
  GRU: { gates: 3, activations: ['Sigmoid', 'Tanh'] },
  LSTM: { gates: 4, activations: ['Sigmoid', 'Tanh', 'Tanh'] },
} as const;

/** One direction of a recurrent layer. */
export interface Direction {
  /** Its place along the directions' axis of W, R, B, P, the initial states and the outputs. */
  readonly index: number;
  /** Whether it reads the sequence from the last step to the first. */
  readonly reversed: boolean;
  /** f; f and g; f, g and h of the specification. */
  readonly activations: readonly Activation[];
}

/** A recurrent node's attributes and lengths, checked against its operands. */
export interface RecurrentForm {
  readonly gates: number;
  readonly directions: readonly Direction[];
  /** T, N, I and H: steps, sequences, features of a step, features of the state. */
  readonly steps: number;
  readonly batch: number;
  readonly features: number;
  readonly hidden: number;
  /** Whether X, Y and the states have the batch in front. */
  readonly batchFirst: boolean;
  /** Bound on what an activation is given; undefined where nothing is cut. */
  readonly clip: number | undefined;
  /** LSTM: the forget gate is 1 - the input gate. */
  readonly coupled: boolean;
  /** GRU: the reset gate multiplies the product of the state, not the state. */
  readonly resetAfterProduct: boolean;
}

/**
 * Whether an activation (f, g or h by its place) is given clipped values. The specification says of `clip` that it
 * bounds the inputs of activations; onnxruntime bounds those of the gates, and leaves the cell state as it is for h.
 */
export function isClipped(activation: number): boolean {
  return activation < 2;
}

/** Inputs of all three operators; LSTM has two more. */
export const RECURRENT = { X: 0, W: 1, R: 2, B: 3, lengths: 4, h: 5, c: 6, P: 7 } as const;

/**
 * Reads a recurrent node after the ONNX specification (opsets 7 to 22).
 * @throws ShapeError where an operand or attribute does not fit
 */
export function recurrentForm(node: Node, inputs: readonly (TensorType | undefined)[]): RecurrentForm {
  const kind = KINDS[node.operator as keyof typeof KINDS];
  const x = operand(node, inputs, RECURRENT.X, 'float');
  const w = operand(node, inputs, RECURRENT.W, 'float');
  const r = operand(node, inputs, RECURRENT.R, 'float');
  ranked(node, x, 3, 'X');
  ranked(node, w, 3, 'W');
  ranked(node, r, 3, 'R');
  const batchFirst = intAttribute(node, 'layout', 0) === 1;
  const [steps, batch] = batchFirst ? [x.shape[1]!, x.shape[0]!] : [x.shape[0]!, x.shape[1]!];
  const features = x.shape[2]!;
  const hidden = r.shape[2]!;
  const directions = directionsOf(node, kind.activations);
  const given = intAttribute(node, 'hidden_size', hidden);
  if (given !== hidden) {
    throw new ShapeError(node, `hidden_size is ${given}, and R is ${formatType(r)} for ${hidden}`);
  }
  if (steps === 0) throw new ShapeError(node, `X is ${formatType(x)}: a sequence needs at least one step`);
  const count = directions.length;
  const states = batchFirst ? [batch, count, hidden] : [count, batch, hidden];
  const expected: readonly (readonly [number, string, readonly number[]])[] = [
    [RECURRENT.W, 'W', [count, kind.gates * hidden, features]],
    [RECURRENT.R, 'R', [count, kind.gates * hidden, hidden]],
    [RECURRENT.B, 'B', [count, 2 * kind.gates * hidden]],
    [RECURRENT.h, 'initial_h', states],
    ...(node.operator === 'LSTM'
      ? ([
          [RECURRENT.c, 'initial_c', states],
          [RECURRENT.P, 'P', [count, 3 * hidden]],
        ] as const)
      : []),
  ];
  for (const [index, name, shape] of expected) {
    const type = inputs[index];
    if (!type) continue;
    sameType(node, x, type, index);
    expectShape(node, name, type, shape);
  }
  const lengths = inputs[RECURRENT.lengths];
  if (lengths) {
    operand(node, inputs, RECURRENT.lengths, 'integer');
    expectShape(node, 'sequence_lens', lengths, [batch]);
  }
  const clip = node.attributes['clip'] ? floatAttribute(node, 'clip', 0) : undefined;
  if (clip !== undefined && !(clip > 0)) throw new ShapeError(node, `clip is ${clip}; it must be above 0`);
  return {
    gates: kind.gates,
    directions,
    steps,
    batch,
    features,
    hidden,
    batchFirst,
    clip,
    coupled: intAttribute(node, 'input_forget', 0) !== 0,
    resetAfterProduct: intAttribute(node, 'linear_before_reset', 0) !== 0,
  };
}

function expectShape(node: Node, name: string, type: TensorType, shape: readonly number[]): void {
  if (type.shape.length === shape.length && shape.every((dim, axis) => dim === type.shape[axis])) return;
  throw new ShapeError(node, `${name} is ${formatType(type)}; [${shape.join(', ')}] would be accepted`);
}

const REVERSED: Readonly<Record<string, readonly boolean[]>> = {
  forward: [false],
  reverse: [true],
  bidirectional: [false, true],
};

/** Each direction with its activations; alphas and betas go, in order, to the activations that take one. */
function directionsOf(node: Node, defaults: readonly string[]): Direction[] {
  const direction = stringAttribute(node, 'direction', 'forward');
  const reversed = REVERSED[direction];
  if (!reversed) {
    const known = Object.keys(REVERSED).join(', ');
    throw new ShapeError(node, `direction is "${direction}"; ${known} would be accepted`);
  }
  const given = node.attributes['activations'];
  const wanted = reversed.length * defaults.length;
  const names =
    given?.kind === 'strings' && given.value.length > 0 ? given.value : reversed.flatMap(() => defaults);
  if (names.length !== wanted) {
    throw new ShapeError(node, `has ${names.length} activations [${names.join(', ')}]; it needs ${wanted}`);
  }
  const alphas = floatsOf(node, 'activation_alpha');
  const betas = floatsOf(node, 'activation_beta');
  const activations = names.map((name): Activation => {
    const known = ACTIVATIONS.get(name.toLowerCase());
    if (!known) {
      const list = [...ACTIVATIONS.values()].map((each) => each.name).join(', ');
      throw new ShapeError(node, `has the activation "${name}"; ${list} would be accepted`);
    }
    return {
      name: known.name,
      alpha: known.alpha === undefined ? 0 : (alphas.shift() ?? known.alpha),
      beta: known.beta === undefined ? 0 : (betas.shift() ?? known.beta),
    };
  });
  return reversed.map((back, index) => ({
    index,
    reversed: back,
    activations: activations.slice(index * defaults.length, (index + 1) * defaults.length),
  }));
}

function floatsOf(node: Node, name: string): number[] {
  const found = node.attributes[name];
  if (found?.kind === 'floats') return [...found.value];
  return [...(intsAttribute(node, name) ?? [])];
}
