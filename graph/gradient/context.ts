import { InvariantError } from '../../base/index.js';
import { NodeFormula } from '../formula/index.js';
import type { GraphBuilder } from '../ir/builder.js';
import type { Node } from '../ir/graph.js';

/**
 * What a gradient rule sees of the node that it differentiates, with the means to write the answer:
 * the rule adds nodes through the methods of Formula and returns one gradient per input.
 */
export class GradientContext extends NodeFormula {
  constructor(
    builder: GraphBuilder,
    node: Node,
    /** One entry per output: the gradient of the loss with respect to it; undefined where the loss does not depend on it. */
    readonly gradients: readonly (string | undefined)[],
    private readonly needed: (input: number) => boolean,
  ) {
    super(builder, node);
  }

  output(i: number): string {
    const name = this.node.outputs[i];
    if (name === undefined || name === '') {
      throw new InvariantError(`node "${this.node.name}" (${this.node.operator}) has no output ${i}`);
    }
    return name;
  }

  /** The first output. */
  get y(): string {
    return this.output(0);
  }

  /** The gradient of the first output. */
  get dy(): string {
    const gradient = this.gradients[0];
    if (gradient === undefined)
      throw new InvariantError(`node "${this.node.name}": its first output has no gradient`);
    return gradient;
  }

  /** Whether the gradient of input `i` is asked for; a rule may return undefined for any other. */
  needs(i: number): boolean {
    return this.needed(i);
  }
}

/**
 * The gradients of a node's inputs from those of its outputs (a vector-Jacobian product), one entry per input;
 * undefined where an input has none or none is needed. Each has exactly the type of its input.
 */
export type GradientRule = (g: GradientContext) => readonly (string | undefined)[];

/** What is known of one operator's derivative. */
export type Differentiability =
  /** Its outputs do not depend smoothly on its inputs: the gradient is zero and the walk ends there, as in PyTorch. */
  | { readonly kind: 'stop' }
  /** `decompose` writes it out in operators that have rules, before the walk. */
  | { readonly kind: 'decomposed' }
  | {
      readonly kind: 'rule';
      readonly rule: GradientRule;
      /** Whether the rule covers this node's form (attributes, number of inputs); absent: all forms. */
      readonly covers?: (node: Node) => boolean;
    };

/** Operators of ai.onnx by name. */
export type RuleTable = Readonly<Record<string, GradientRule>>;
