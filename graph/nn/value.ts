import type { Attributes, Node } from '../ir/graph.js';
import { attribute } from '../ir/graph.js';
import {
  formatType,
  int64s,
  isFloat,
  scalar,
  type DataType,
  type Dimension,
  type Tensor,
} from '../ir/tensor.js';
import type { Reference } from '../operators/definition.js';
import { LayerError, NoValueError } from './errors.js';
import { printable } from './printable.js';

/** Everything that is written down while a model is built. */
export class Tape {
  readonly nodes: Node[] = [];
  readonly parameters = new Map<string, Tensor>();
  readonly constants = new Map<string, Tensor>();
  private readonly names = new Set<string>();

  /** @param start values that parameters begin with, by name, instead of what their layers choose */
  constructor(readonly start: ReadonlyMap<string, Tensor> = new Map()) {}

  /**
   * Adds a node with one output.
   * @param at where in the model, for the names of the node and its output
   */
  node(at: string, operator: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.nodeWithOutputs(at, operator, inputs, attributes, 1)[0]!;
  }

  nodeWithOutputs(
    at: string,
    operator: string,
    inputs: readonly string[],
    attributes: Attributes,
    count: number,
    domain = '',
  ): string[] {
    const name = this.fresh(at === '' ? operator : `${at}/${operator}`);
    const outputs = Array.from({ length: count }, (_, i) =>
      this.fresh(count === 1 ? `${name}.out` : `${name}.out${i}`),
    );
    this.nodes.push({ name, operator, domain, inputs, outputs, attributes });
    return outputs;
  }

  constant(at: string, tensor: Tensor): string {
    const name = this.fresh(`${at === '' ? '' : `${at}/`}constant`);
    this.constants.set(name, tensor);
    return name;
  }

  parameter(name: string, tensor: Tensor): void {
    this.fresh(name);
    this.parameters.set(name, tensor);
  }

  /**
   * The elements of a value: in an eager scope (EagerTape), not while a model is traced.
   * @param use what needs them, for the message
   * @throws NoValueError
   */
  elementsOf(value: Value, use: string): Reference {
    throw new NoValueError(
      `${use}: ${value.describe()}${value.at === '' ? '' : ` in "${value.at}"`} has no elements while the model is traced: a graph is the ` +
        'same for all data. Run this code with eager(), or say it in operators (relu(), times(), softmax(), ...)',
      { value: value.name, at: value.at },
    );
  }

  /** The gradients of a scalar by everything that it depends on. @throws NoValueError */
  backward(from: Value): ReadonlyMap<string, Value> {
    this.elementsOf(from, 'backward()');
    return new Map();
  }

  /** What the last `backward` found for a parameter or a given value. @throws NoValueError */
  gradientOf(value: Value): Value | undefined {
    this.elementsOf(value, 'grad');
    return undefined;
  }

  /** Reserves a name; a number is appended where it is taken. */
  fresh(hint: string): string {
    let name = hint;
    for (let n = 1; this.names.has(name); n++) name = `${hint}_${n}`;
    this.names.add(name);
    return name;
  }
}

/**
 * A value of the model being built: what a layer is applied to and gives back. The first dimension is usually the
 * symbol 'batch'; the others are lengths.
 */
export class Value {
  constructor(
    readonly tape: Tape,
    /** Where in the model it came about: the names of nodes begin with it. */
    readonly at: string,
    readonly name: string,
    readonly dtype: DataType,
    readonly shape: readonly Dimension[],
  ) {}

  get rank(): number {
    return this.shape.length;
  }

  /** The sum; shapes broadcast. */
  plus(other: Value | number): Value {
    return this.binary('Add', other);
  }

  /** The difference; shapes broadcast. */
  minus(other: Value | number): Value {
    return this.binary('Sub', other);
  }

  /** The product, element by element; shapes broadcast. */
  times(other: Value | number): Value {
    return this.binary('Mul', other);
  }

  /** The quotient, element by element; shapes broadcast. */
  over(other: Value | number): Value {
    return this.binary('Div', other);
  }

  /** The matrix product over the last two axes; the axes before them are equal. */
  matmul(other: Value): Value {
    const [rows, inner] = this.shape.slice(-2);
    const [innerOfOther, columns] = other.shape.slice(-2);
    const batch = this.shape.slice(0, -2);
    const fits = inner === innerOfOther && String(batch) === String(other.shape.slice(0, -2));
    if (this.rank < 2 || this.rank !== other.rank || !fits) {
      throw new LayerError(
        'matmul',
        `${this.describe()} and ${other.describe()} do not fit: [..., m, k] and [..., k, n]`,
      );
    }
    return this.derive('MatMul', [this.name, other.name], {}, [...batch, rows!, columns!]);
  }

  /** The same elements in another shape. The first dimension stays; the others are lengths. */
  reshape(...lengths: readonly number[]): Value {
    const before = this.lengthsAfterFirst('reshape').reduce((product, length) => product * length, 1);
    const after = lengths.reduce((product, length) => product * length, 1);
    if (before !== after) {
      throw new LayerError(
        'reshape',
        `${this.describe()} has ${before} elements a sample, [${lengths.join(', ')}] ${after}`,
      );
    }
    const shape = this.tape.constant(this.at, int64s([0, ...lengths]));
    return this.derive('Reshape', [this.name, shape], {}, [this.shape[0]!, ...lengths]);
  }

  /** The axes in another order. */
  transpose(...permutation: readonly number[]): Value {
    const valid =
      permutation.length === this.rank &&
      [...permutation].sort((a, b) => a - b).every((axis, i) => axis === i);
    if (!valid)
      throw new LayerError(
        'transpose',
        `[${permutation.join(', ')}] is no order of the axes of ${this.describe()}`,
      );
    return this.derive(
      'Transpose',
      [this.name],
      { perm: attribute.ints(permutation) },
      permutation.map((axis) => this.shape[axis]!),
    );
  }

  /** Softmax along the last axis. */
  softmax(): Value {
    return this.unary('Softmax', { axis: attribute.int(-1) });
  }

  /** A function of each element that ONNX has an operator for. */
  unary(operator: string, attributes: Attributes = {}): Value {
    return this.derive(operator, [this.name], attributes, this.shape);
  }

  /** The sum of all elements, a scalar. */
  sum(): Value {
    return this.derive('ReduceSum', [this.name], { keepdims: attribute.int(0) }, []);
  }

  /** The mean of all elements, a scalar. */
  mean(): Value {
    return this.derive('ReduceMean', [this.name], { keepdims: attribute.int(0) }, []);
  }

  /** The elements, row-major, in float64; not to be written to. @throws NoValueError while a model is traced */
  get data(): Float64Array {
    return this.tape.elementsOf(this, 'data').data;
  }

  /** The number that a value of one element holds. @throws NoValueError while a model is traced; LayerError */
  item(): number {
    const { data } = this.tape.elementsOf(this, 'item()');
    if (data.length === 1) return data[0]!;
    throw new LayerError('item', `${this.describe()} has ${data.length} elements; data has them all`);
  }

  /**
   * The gradients of this scalar by the parameters that it depends on, by name; afterwards `grad` of those and of what
   * was given to the scope holds theirs. Each call replaces what the one before found.
   * @throws NoValueError while a model is traced; LayerError where this is no scalar
   */
  backward(): ReadonlyMap<string, Value> {
    return this.tape.backward(this);
  }

  /** The gradient that `backward` found, where this is a parameter or a value given to the scope. @throws NoValueError */
  get grad(): Value | undefined {
    return this.tape.gradientOf(this);
  }

  toString(): string {
    return this.describe();
  }

  /** `x > 0`, `if (x == 1)`: the number of a value of one element. @throws NoValueError while a model is traced */
  [Symbol.toPrimitive](hint: 'string' | 'number' | 'default'): string | number {
    return hint === 'string' ? this.describe() : this.item();
  }

  /** What console.log shows: type, place, and the elements where there are any. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    const head = `Value ${this.describe()} "${this.name}"`;
    try {
      return `${head}\n${printable(this.tape.elementsOf(this, 'printing'))}`;
    } catch (error) {
      if (error instanceof NoValueError) return head;
      throw error;
    }
  }

  /** Writes a node whose only output is of the same element type. The caller vouches for the shape. */
  derive(
    operator: string,
    inputs: readonly string[],
    attributes: Attributes,
    shape: readonly Dimension[],
  ): Value {
    return this.named(this.tape.node(this.at, operator, inputs, attributes), shape);
  }

  /** Another value of the same place and element type. */
  named(name: string, shape: readonly Dimension[], dtype: DataType = this.dtype): Value {
    return new Value(this.tape, this.at, name, dtype, shape);
  }

  /** The same value, seen from another place in the model. */
  from(at: string): Value {
    return new Value(this.tape, at, this.name, this.dtype, this.shape);
  }

  /** The length of an axis that has to be known. @throws LayerError */
  lengthAt(axis: number, layer: string): number {
    const dim = this.shape.at(axis);
    if (typeof dim === 'number') return dim;
    throw new LayerError(layer, `axis ${axis} of ${this.describe()} must have a known length`);
  }

  /** Lengths of all axes but the first. @throws LayerError */
  lengthsAfterFirst(layer: string): number[] {
    return this.shape.slice(1).map((_, i) => this.lengthAt(i + 1, layer));
  }

  /** For messages: `float32[batch,1,28,28]`. */
  describe(): string {
    return formatType(this);
  }

  private binary(operator: string, other: Value | number): Value {
    if (typeof other === 'number') {
      const constant = this.tape.constant(this.at, scalar(this.dtype, other));
      return this.derive(operator, [this.name, constant], {}, this.shape);
    }
    if (this.dtype !== other.dtype || !isFloat(this.dtype)) {
      throw new LayerError(operator, `${this.describe()} and ${other.describe()} must be of one float type`);
    }
    return this.derive(operator, [this.name, other.name], {}, broadcast(operator, this, other));
  }
}

function broadcast(operator: string, a: Value, b: Value): Dimension[] {
  const rank = Math.max(a.rank, b.rank);
  return Array.from({ length: rank }, (_, i) => {
    const left = a.shape[i - rank + a.rank] ?? 1;
    const right = b.shape[i - rank + b.rank] ?? 1;
    if (left === right || right === 1) return left;
    if (left === 1) return right;
    throw new LayerError(
      operator,
      `${a.describe()} and ${b.describe()} do not broadcast: axes are equal or 1, from the last`,
    );
  });
}
