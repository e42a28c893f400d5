import type { Tensor } from '../ir/tensor.js';
import { formatType, sameShape, type DataType } from '../ir/tensor.js';
import { EagerTape } from './eager-tape.js';
import { LayerError } from './errors.js';
import { applied, type Applied, type Layer } from './layer.js';
import {
  applyDefinition,
  inputTypes,
  type Definition,
  type FunctionModel,
  type InputType,
  type LayerModel,
} from './model.js';
import { Scope } from './scope.js';
import type { Value } from './value.js';

/** Numbers in as many brackets as there are axes. */
export type Nested = number | readonly Nested[] | Float32Array | Float64Array;

export interface EagerOptions {
  /** Chooses the first values of parameters, as in model(); 0 where absent. */
  readonly seed?: number;
  /** Values of parameters by name: read where they are there, added where they are not. Give it to the next scope. */
  readonly parameters?: Map<string, Tensor>;
}

/** What a function gets that runs eagerly. */
export interface Eager {
  /** A float32 value: `tensor([[1, 2], [3, 4]])`, or flat elements with a shape. */
  readonly tensor: (elements: Nested, shape?: readonly number[]) => Value;
  /** An int64 value: class or token ids. */
  readonly ids: (elements: Nested, shape?: readonly number[]) => Value;
  /** Layers by name as functions; parameters are named by the keys, as in model(). */
  readonly modules: <const C extends Readonly<Record<string, Layer>>>(layers: C) => Applied<C>;
  /**
   * Runs the code of a model, as model() would trace it, on these inputs.
   * @throws LayerError where inputs do not fit the definition, and what the layers throw
   */
  readonly run: Run;
}

interface Run {
  (definition: LayerModel, inputs: { readonly input: Value }): Value;
  <const I extends Readonly<Record<string, InputType>>, const C extends Readonly<Record<string, Layer>>>(
    definition: FunctionModel<I, C>,
    inputs: { readonly [K in keyof I]: Value },
  ): Value;
  (definition: Definition, inputs: Readonly<Record<string, Value>>): Value;
}

/**
 * Runs code of the model API with values at hand: every operation computes at once, in float64 and plain JavaScript, so
 * that values can be printed, looked at in a debugger, and decided on (`if (x.item() > 0)`). The same code in model() is
 * traced to a graph, for speed. Dropout passes values on, as in evaluation.
 *
 * Values live as long as the call (or the promise that it returns): take numbers out of it.
 * @returns what `code` returns
 *
 * @example
 * const loss = eager(({ tensor, run }) => {
 *   const y = run(net, { input: tensor([[1, 2, 3, 4]]) });
 *   console.log(y);
 *   return y.item() > 0 ? 0 : y.item() ** 2;
 * });
 */
export function eager<T>(code: (scope: Eager) => T, { seed = 0, parameters }: EagerOptions = {}): T {
  const tape = new EagerTape(parameters ?? new Map<string, Tensor>());
  const scope = new Scope(tape, seed);
  const value = (dtype: DataType, hint: string) => (elements: Nested, shape?: readonly number[]) => {
    const flat = flatten(elements);
    const known = shape ?? flat.shape;
    if (known.reduce((size, length) => size * length, 1) !== flat.data.length)
      throw new LayerError(hint, `${flat.data.length} elements do not fill [${known.join(', ')}]`);
    const data = dtype === 'float32' ? flat.data.map(Math.fround) : flat.data;
    return tape.give(hint, { dtype, shape: known, data });
  };
  const tools: Eager = {
    tensor: value('float32', 'tensor'),
    ids: value('int64', 'ids'),
    modules: (layers) => applied(layers, scope),
    run(definition: Definition, inputs: Readonly<Record<string, Value>>) {
      checkInputs(definition, inputs);
      const own = new Scope(tape, definition.seed ?? seed);
      return applyDefinition(definition, inputs, own);
    },
  };
  let later = false;
  try {
    const result = code(tools);
    if (result instanceof Promise) {
      later = true;
      return result.finally(() => tape.end()) as T;
    }
    return result;
  } finally {
    if (!later) tape.end();
  }
}

/** Row-major elements and lengths of axes. @throws LayerError where rows have different lengths */
function flatten(elements: Nested): { readonly shape: readonly number[]; readonly data: Float64Array } {
  if (typeof elements === 'number') return { shape: [], data: Float64Array.of(elements) };
  if (elements instanceof Float32Array || elements instanceof Float64Array)
    return { shape: [elements.length], data: Float64Array.from(elements) };
  const rows = elements.map(flatten);
  const first = rows[0]?.shape ?? [];
  const other = rows.find(({ shape }) => !sameShape(shape, first));
  if (other) {
    throw new LayerError(
      'tensor',
      `rows of different lengths: [${first.join(', ')}] and [${other.shape.join(', ')}]`,
    );
  }
  return { shape: [rows.length, ...first], data: Float64Array.from(rows.flatMap(({ data }) => [...data])) };
}

function checkInputs(definition: Definition, inputs: Readonly<Record<string, Value>>): void {
  const types = inputTypes(definition);
  const name = definition.name ?? 'model';
  for (const [key, wanted] of Object.entries(types)) {
    const given = inputs[key];
    const asked = formatType(wanted);
    if (!given) throw new LayerError(name, `needs the input "${key}", ${asked}; it is not given`);
    const fits =
      given.dtype === wanted.dtype &&
      given.rank === wanted.shape.length &&
      wanted.shape.every((dim, i) => typeof dim === 'string' || dim === given.shape[i]);
    if (!fits) throw new LayerError(name, `the input "${key}" is ${asked}; it is given ${given.describe()}`);
  }
  const unknown = Object.keys(inputs).find((key) => !Object.hasOwn(types, key));
  if (unknown !== undefined)
    throw new LayerError(
      name,
      `has no input "${unknown}"; its inputs are ${Object.keys(types)
        .map((key) => `"${key}"`)
        .join(', ')}`,
    );
}
