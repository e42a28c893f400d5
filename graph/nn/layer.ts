import { LayerError } from './errors.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';

/** A part of a model: applied to a value, it gives a value, and declares its parameters where it stands. */
export interface Layer {
  apply(x: Value, scope: Scope): Value;
}

/** A layer from a function, for what needs no parameters: `fn((x) => x.times(0.5))`. */
export function fn(forward: (x: Value) => Value): Layer {
  return { apply: (x, scope) => forward(x.from(scope.path)) };
}

/** Layers one after the other; parameters are named by position, as in PyTorch (`0.weight`, `2.weight`). */
export function sequential(...layers: readonly Layer[]): Layer {
  return {
    apply: (x, scope) => layers.reduce((value, layer, i) => call(layer, value, scope.child(String(i))), x),
  };
}

/** The children of a module as functions. */
export type Applied<C extends Readonly<Record<string, Layer>>> = {
  readonly [K in keyof C]: (x: Value) => Value;
};

/**
 * Layers by name, and how they are put together; parameters are named by the keys (`attention.qkv.weight`).
 *
 * @example
 * const block = module({ norm: layerNorm(), mlp: sequential(linear(256), gelu(), linear(64)) }, (x, { norm, mlp }) =>
 *   x.plus(mlp(norm(x))),
 * );
 */
export function module<const C extends Readonly<Record<string, Layer>>>(
  children: C,
  forward: (x: Value, children: Applied<C>) => Value,
): Layer {
  return {
    apply: (x, scope) => forward(x.from(scope.path), applied(children, scope)),
  };
}

/** x + layer(x); the layer keeps the shape. */
export function residual(layer: Layer): Layer {
  return {
    apply(x, scope) {
      const y = call(layer, x, scope);
      if (String(y.shape) !== String(x.shape)) {
        throw new LayerError(
          'residual',
          `the layer makes ${y.describe()} of ${x.describe()}; it must keep the shape`,
        );
      }
      return x.from(scope.path).plus(y);
    },
  };
}

/** Binds layers to the places below a scope. */
export function applied<C extends Readonly<Record<string, Layer>>>(children: C, scope: Scope): Applied<C> {
  const entries = Object.entries(children).map(([key, layer]) => [
    key,
    (x: Value) => call(layer, x, scope.child(key)),
  ]);
  return Object.fromEntries(entries) as Applied<C>;
}

/** Applies a layer, seen from its own place. */
export function call(layer: Layer, x: Value, scope: Scope): Value {
  return layer.apply(x.from(scope.path), scope);
}
