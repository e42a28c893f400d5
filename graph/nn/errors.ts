import { UserError } from '../../base/index.js';

/** A layer cannot be applied to what it is given, or a model is put together wrongly. */
export class LayerError extends UserError {
  constructor(layer: string, message: string, ids: Readonly<Record<string, unknown>> = {}) {
    super('bad_layer', `${layer}: ${message}`, { ids: { layer, ...ids } });
  }
}

/** The number of a value is asked for where there is none: while a model is traced, or after its eager scope has ended. */
export class NoValueError extends UserError {
  constructor(message: string, ids: Readonly<Record<string, unknown>>) {
    super('no_value', message, { ids });
  }
}

/** What a module exports is not a model. */
export class NotAModelError extends UserError {
  constructor(found: string) {
    super(
      'not_a_model',
      `expected a model (what model() or gpt() of dtrain/nn returns, or an ONNX graph read by dtrain), found ${found}; ` +
        'export it as the default: export default model({ ... })',
      { ids: { found } },
    );
  }
}
