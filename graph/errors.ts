import { UserError, type ErrorDetails } from '../base/index.js';

/** The model file cannot be read: truncated, not ONNX, inconsistent. */
export class ModelError extends UserError {
  constructor(message: string, details?: ErrorDetails) {
    super('bad_model', message, details);
  }
}

/** Operators that dtrain cannot run or differentiate; all of them at once, with the nodes' names. */
export class UnsupportedOperatorError extends UserError {
  constructor(
    readonly operators: readonly { readonly operator: string; readonly nodes: readonly string[] }[],
    what: 'gradient rule' | 'definition',
  ) {
    const list = operators.map(({ operator, nodes }) => `${operator} (${nodes.join(', ')})`).join('; ');
    const mend =
      what === 'definition'
        ? 'Operators that docs/operators.md lists would be accepted'
        : 'Operators to which docs/operators.md gives a gradient would be accepted, or no trained parameter before these (frozen)';
    super('unsupported_operator', `no ${what} for ${list}. ${mend}`, { ids: { operators } });
  }
}

/** A node's inputs do not fit its operator. */
export class ShapeError extends UserError {
  constructor(
    node: { readonly name: string; readonly operator: string },
    /** What is wrong, without the node's name. */
    readonly reason: string,
  ) {
    super('bad_shape', `node "${node.name}" (${node.operator}): ${reason}`, { ids: { node: node.name } });
  }
}

/** The shapes asked for do not fit the model's inputs. */
export class BindingError extends UserError {
  constructor(message: string, details?: ErrorDetails) {
    super('bad_input_shape', message, details);
  }
}
