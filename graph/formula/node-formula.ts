import { InvariantError } from '../../base/index.js';
import type { GraphBuilder } from '../ir/builder.js';
import type { Node } from '../ir/graph.js';
import type { Reference } from '../operators/index.js';
import { toReference } from '../reference/value.js';
import { Formula } from './formula.js';

/** Arithmetic about one node: what a gradient rule and a decomposition see of it. */
export class NodeFormula extends Formula {
  constructor(
    builder: GraphBuilder,
    readonly node: Node,
  ) {
    super(builder);
  }

  /** Input `i`; an input that the rule relies on and that is omitted is a broken invariant. */
  input(i: number): string {
    const name = this.node.inputs[i];
    if (name === undefined || name === '') {
      throw new InvariantError(`node "${this.node.name}" (${this.node.operator}) has no input ${i}`);
    }
    return name;
  }

  hasInput(i: number): boolean {
    return (this.node.inputs[i] ?? '') !== '';
  }

  /** Whether something may use output `i`: it has a name. */
  hasOutput(i: number): boolean {
    return (this.node.outputs[i] ?? '') !== '';
  }

  /** The first input. */
  get x(): string {
    return this.input(0);
  }

  /** A scalar constant of the first input's element type. */
  number(value: number): string {
    return this.scalar(value, this.typeOf(this.x).dtype);
  }

  /** The numbers of a constant input (axes, pads, shapes); undefined where it is omitted. */
  numbersOf(i: number): number[] | undefined {
    return this.hasInput(i) ? [...this.constantInput(i).data] : undefined;
  }

  private constantInput(i: number): Reference {
    const tensor = this.builder.constantOf(this.input(i));
    if (!tensor) {
      throw new InvariantError(
        `node "${this.node.name}" (${this.node.operator}): input ${i} must be a constant once shapes are bound`,
      );
    }
    return toReference(tensor);
  }
}
