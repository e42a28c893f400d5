import { InvariantError } from '../../base/index.js';
import { GraphBuilder } from '../ir/builder.js';
import type { Attributes } from '../ir/graph.js';
import type { Tensor } from '../ir/tensor.js';
import type { Reference } from '../operators/definition.js';
import { standardOperators, type OperatorRegistry } from '../operators/index.js';
import { toReference } from './value.js';

/**
 * A builder that computes each node as it is added: whoever writes a graph with it has the value of everything at hand.
 * In float64, as `evaluate` would with the same graph.
 */
export class EvaluatingBuilder extends GraphBuilder {
  private readonly values = new Map<string, Reference>();

  constructor(private readonly meanings: OperatorRegistry = standardOperators) {
    super(meanings);
  }

  /** Sets the value of an input or parameter that is declared next. */
  give(name: string, value: Reference): void {
    this.values.set(name, value);
  }

  override input(...[name, type]: Parameters<GraphBuilder['input']>): string {
    this.referenceTo(name);
    return super.input(name, type);
  }

  override parameter(...[name, type]: Parameters<GraphBuilder['parameter']>): string {
    this.referenceTo(name);
    return super.parameter(name, type);
  }

  override constant(tensor: Tensor, name?: string): string {
    const chosen = super.constant(tensor, name);
    if (!this.values.has(chosen)) this.values.set(chosen, toReference(tensor));
    return chosen;
  }

  override add(
    operator: string,
    inputs: readonly string[],
    attributes: Attributes = {},
    options: Parameters<GraphBuilder['add']>[3] = {},
  ): string[] {
    const outputs = super.add(operator, inputs, attributes, options);
    const node = this.producerOf(outputs.find((name) => name !== '') ?? '');
    const definition = node && this.meanings.find(node);
    if (!node || !definition)
      throw new InvariantError(`nothing is known of a node ${operator} that was added`);
    const given = node.inputs.map((name) => (name === '' ? undefined : this.referenceTo(name)));
    const types = definition.infer(node, given, given);
    definition.evaluate(node, given, types).forEach((value, i) => {
      const name = outputs[i];
      if (name) this.values.set(name, value);
    });
    return outputs;
  }

  /** @throws InvariantError for what nobody has given or computed */
  referenceTo(name: string): Reference {
    const value = this.values.get(name);
    if (!value) throw new InvariantError(`value "${name}" is used before it is known`);
    return value;
  }

  /** Lets go of every value. */
  release(): void {
    this.values.clear();
  }
}
