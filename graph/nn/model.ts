import type { Graph, ValueInfo } from '../ir/graph.js';
import { sizeOf, type DataType, type Dimension, type Tensor } from '../ir/tensor.js';
import { LayerError, NotAModelError } from './errors.js';
import { applied, call, type Applied, type Layer } from './layer.js';
import { Scope } from './scope.js';
import { Tape, Value } from './value.js';

/** The type of a model's input. */
export interface InputType {
  readonly dtype: DataType;
  readonly shape: readonly Dimension[];
}

/** A float32 input: `tensor(1, 28, 28)` is [batch, 1, 28, 28]. */
export function tensor(...lengths: readonly number[]): InputType {
  return { dtype: 'float32', shape: ['batch', ...lengths] };
}

/** An input of class or token ids: `ids(64)` is int64 [batch, 64]. */
export function ids(...lengths: readonly number[]): InputType {
  return { dtype: 'int64', shape: ['batch', ...lengths] };
}

/** A built model: what a job's module exports as its default. */
export interface Model {
  readonly kind: 'dtrain.model';
  readonly graph: Graph;
  /** How many numbers are trained. */
  readonly parameterCount: number;
}

interface Common {
  /** For messages and the ONNX file; `model` where absent. */
  readonly name?: string;
  /** Chooses the first values of the parameters; 0 where absent. */
  readonly seed?: number;
  /** Values to begin with, by name, instead of those; what an eager scope trained, for instance. */
  readonly parameters?: ReadonlyMap<string, Tensor>;
}

export interface LayerModel extends Common {
  readonly input: InputType;
  readonly layers: Layer;
}

export interface FunctionModel<
  I extends Readonly<Record<string, InputType>>,
  C extends Readonly<Record<string, Layer>>,
> extends Common {
  /** Inputs by name. */
  readonly inputs: I;
  readonly modules: C;
  readonly forward: (inputs: { readonly [K in keyof I]: Value }, modules: Applied<C>) => Value;
}

/** What a model is made from, whatever its inputs and modules are called. */
export type Definition =
  LayerModel | FunctionModel<Readonly<Record<string, InputType>>, Readonly<Record<string, Layer>>>;

/**
 * What model() takes, under a name: to trace it and to run it eagerly.
 *
 * @example
 * export const net = define({ input: tensor(4), layers: sequential(linear(8), relu(), linear(2)) });
 * export default model(net);
 */
export function define(definition: LayerModel): LayerModel;
export function define<
  const I extends Readonly<Record<string, InputType>>,
  const C extends Readonly<Record<string, Layer>>,
>(definition: FunctionModel<I, C>): FunctionModel<I, C>;
export function define(definition: Definition): Definition {
  return definition;
}

/** The inputs of a definition by name. */
export function inputTypes(definition: Definition): Readonly<Record<string, InputType>> {
  return 'input' in definition ? { input: definition.input } : definition.inputs;
}

/** Applies a model's code to values: traced or eager, as their tape is. */
export function applyDefinition(
  definition: Definition,
  values: Readonly<Record<string, Value>>,
  scope: Scope,
): Value {
  return 'input' in definition
    ? call(definition.layers, values['input']!, scope)
    : definition.forward(values, applied(definition.modules, scope));
}

/**
 * Builds a model: from one input and a layer, or from inputs and modules by name and a function that joins them.
 *
 * The graph's batch is symbolic; its inputs are called `input` (or by their keys), its output `output`; parameters
 * have PyTorch's names and default first values, from the seed. The same call gives the same model.
 * @throws LayerError naming the layer that does not fit and what it is given
 *
 * @example
 * export default model({
 *   input: tensor(1, 28, 28),
 *   layers: sequential(flatten(), linear(128), relu(), linear(10)),
 *   seed: 7,
 * });
 */
export function model<
  const I extends Readonly<Record<string, InputType>>,
  const C extends Readonly<Record<string, Layer>>,
>(definition: FunctionModel<I, C>): Model;
export function model(definition: Definition): Model;
export function model(definition: Definition): Model {
  const { name = 'model', seed = 0, parameters } = definition;
  const tape = new Tape(parameters);
  const scope = new Scope(tape, seed);
  tape.fresh('output');
  const inputs = Object.entries(inputTypes(definition)).map(([key, type]) => {
    tape.fresh(key);
    return { name: key, ...type };
  });
  const values = Object.fromEntries(
    inputs.map((input) => [input.name, new Value(tape, '', input.name, input.dtype, input.shape)]),
  );
  return finish(name, tape, inputs, applyDefinition(definition, values, scope));
}

function finish(name: string, tape: Tape, inputs: readonly ValueInfo[], result: Value): Model {
  const { nodes, parameters, constants } = tape;
  if (!nodes.some((node) => node.outputs.includes(result.name))) {
    throw new LayerError(name, 'the model computes nothing: its output is an input or a parameter');
  }
  const output = 'output';
  const graph: Graph = {
    name,
    inputs,
    outputs: [{ name: output, dtype: result.dtype, shape: result.shape }],
    nodes: nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map((value) => (value === result.name ? output : value)),
      outputs: node.outputs.map((value) => (value === result.name ? output : value)),
    })),
    parameters: new Map(parameters),
    constants: new Map(constants),
  };
  const parameterCount = [...parameters.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  return { kind: 'dtrain.model', graph, parameterCount };
}

/** Whether something is a model of this API, of whatever copy of dtrain. */
export function isModel(value: unknown): value is Model {
  return isObject(value) && value['kind'] === 'dtrain.model' && isGraph(value['graph']);
}

/**
 * The graph of what a module exports: a model of this API, or a graph.
 * @throws NotAModelError saying what was found
 */
export function toGraph(value: unknown): Graph {
  if (isModel(value)) return value.graph;
  if (isGraph(value)) return value;
  throw new NotAModelError(describe(value));
}

function isGraph(value: unknown): value is Graph {
  if (!isObject(value)) return false;
  const lists = [value['nodes'], value['inputs'], value['outputs']];
  const maps = [value['parameters'], value['constants']];
  return lists.every((list) => Array.isArray(list)) && maps.every((map) => map instanceof Map);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function describe(value: unknown): string {
  if (value === undefined) return 'no default export';
  if (typeof value === 'function') return 'a function (call it, and export what it returns)';
  if (!isObject(value)) return JSON.stringify(value);
  if ('apply' in value) return 'a layer (give it to model({ input, layers }))';
  return `an object with ${Object.keys(value).slice(0, 5).join(', ') || 'nothing in it'}`;
}
