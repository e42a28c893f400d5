import { differentiate } from '../gradient/index.js';
import { GraphBuilder } from '../ir/builder.js';
import type { Attributes } from '../ir/graph.js';
import { isFloat, sizeOf, type Tensor } from '../ir/tensor.js';
import { fromReference } from '../reference/value.js';
import type { Reference } from '../operators/definition.js';
import { standardOperators, type OperatorRegistry } from '../operators/index.js';
import { evaluate, EvaluatingBuilder, toReference } from '../reference/index.js';
import { prepareForward } from '../training/index.js';
import { LayerError, NoValueError } from './errors.js';
import { Tape, Value } from './value.js';

/**
 * A tape whose values are there at once: each node is computed as it is written down, in float64. What is written down is
 * a graph, so gradients are those of `differentiate`, as for a model that is traced.
 */
export class EagerTape extends Tape {
  private readonly builder: EvaluatingBuilder;
  /** Leaves: what is given to the scope, with its value. */
  private readonly given = new Map<string, Reference>();
  private readonly gradients = new Map<string, Value>();
  private ended = false;

  /** @param kept values of parameters to begin with; those of new parameters are added */
  constructor(
    private readonly kept: Map<string, Tensor>,
    private readonly operators: OperatorRegistry = standardOperators,
  ) {
    super(kept);
    this.builder = new EvaluatingBuilder(operators);
  }

  /** A value from outside. */
  give(hint: string, reference: Reference): Value {
    this.checkOpen(hint);
    const name = this.fresh(hint);
    const { dtype, shape } = reference;
    this.builder.give(name, reference);
    this.builder.input(name, { dtype, shape });
    this.given.set(name, reference);
    return new Value(this, '', name, dtype, shape);
  }

  override nodeWithOutputs(
    ...[at, operator, inputs, attributes, ...rest]: Parameters<Tape['nodeWithOutputs']>
  ): string[] {
    this.checkOpen(operator);
    // as in evaluation: a mask belongs to a step of a training, and here is none
    const drops = operator === 'Dropout' && (rest[1] ?? '') === '';
    const [what, from, how]: [string, readonly string[], Attributes] = drops
      ? ['Identity', inputs.slice(0, 1), {}]
      : [operator, inputs, attributes];
    const outputs = super.nodeWithOutputs(at, what, from, how, ...rest);
    const node = this.nodes.at(-1)!;
    const { name, domain } = node;
    this.builder.add(node.operator, node.inputs, node.attributes, { name, domain, outputs });
    return outputs;
  }

  override constant(at: string, tensor: Tensor): string {
    this.checkOpen('constant');
    return this.builder.constant(tensor, super.constant(at, tensor));
  }

  override parameter(name: string, tensor: Tensor): void {
    this.checkOpen(name);
    super.parameter(name, tensor);
    this.kept.set(name, tensor);
    this.builder.give(name, toReference(tensor));
    this.builder.parameter(name, { dtype: tensor.dtype, shape: tensor.shape });
  }

  override elementsOf(value: Value, use: string): Reference {
    this.checkOpen(use);
    return this.builder.referenceTo(value.name);
  }

  override backward(from: Value): ReadonlyMap<string, Value> {
    this.checkOpen('backward()');
    if (sizeOf(from.shape as readonly number[]) !== 1 || !isFloat(from.dtype)) {
      throw new LayerError(
        'backward',
        `goes from a float scalar; ${from.describe()} is none: take mean() or sum() of it first`,
      );
    }
    this.gradients.clear();
    for (const [name, reference] of this.gradientsOf(from)) {
      this.gradients.set(name, this.give(`grad.${name}`, reference));
    }
    const names = [...this.parameters.keys()].filter((name) => this.gradients.has(name));
    return new Map(names.map((name) => [name, this.gradients.get(name)!]));
  }

  override gradientOf(value: Value): Value | undefined {
    this.checkOpen('grad');
    return this.gradients.get(value.name);
  }

  /** Lets go of all values. Nothing can be computed or read afterwards. */
  end(): void {
    this.ended = true;
    this.builder.release();
    this.given.clear();
    this.gradients.clear();
  }

  private gradientsOf(from: Value): ReadonlyMap<string, Reference> {
    const { forward } = prepareForward(this.builder.build('eager', [from.name]));
    const builder = new GraphBuilder(this.operators, forward);
    const output = forward.outputs[0]!;
    const { dtype, shape } = builder.typeOf(output);
    const one = builder.constant(fromReference({ dtype, shape, data: Float64Array.of(1) }));
    const leaves = [...this.parameters.keys(), ...this.given.keys()].filter(
      (name) => builder.has(name) && isFloat(builder.typeOf(name).dtype),
    );
    const found = differentiate(builder, forward.nodes, new Map([[output, one]]), leaves);
    const values = new Map([
      ...this.given,
      ...[...this.parameters.keys()].map((name) => [name, this.builder.referenceTo(name)] as const),
    ]);
    const results = evaluate(builder.build('eager', [...found.values()]), values, this.operators);
    return new Map([...found].map(([leaf, gradient]) => [leaf, results.get(gradient)!]));
  }

  private checkOpen(use: string): void {
    if (!this.ended) return;
    throw new NoValueError(
      `${use}: the eager scope has ended, and its values are gone; take what you need out of it as numbers (data, item())`,
      { use },
    );
  }
}
