import type { CustomNode } from '../custom/definition.js';
import { ShapeError } from '../errors.js';
import type { DataType, Dimension, Tensor, TensorType } from './tensor.js';

/**
 * The intermediate representation: an immutable graph of ONNX operators with the meaning of one opset.
 *
 * Whatever opset a model was written in, the importer brings every node to the form of `IR_OPSET`
 * (attributes that became inputs are inputs, and so on): passes, gradient rules and engines know one form.
 * Names of values are unique in a graph; an omitted optional input is the empty name.
 */
export const IR_OPSET = 21;

export type AttributeValue =
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'tensor'; readonly value: Tensor }
  | { readonly kind: 'ints'; readonly value: readonly number[] }
  | { readonly kind: 'floats'; readonly value: readonly number[] }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'body'; readonly value: Body }
  /** What a node of a user's own operator computes: see graph/custom. No file has such an attribute. */
  | { readonly kind: 'custom'; readonly value: CustomNode };

export type Attributes = Readonly<Record<string, AttributeValue>>;

export interface Node {
  /** Unique in the graph; the exporter's own name where it gave one. Messages name it. */
  readonly name: string;
  readonly operator: string;
  /** '' is ai.onnx. */
  readonly domain: string;
  readonly inputs: readonly string[];
  /** An unused optional output is the empty name. */
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
}

/** An input or output as declared: dimensions may be symbols. */
export interface ValueInfo {
  readonly name: string;
  readonly dtype: DataType;
  readonly shape: readonly Dimension[];
}

/**
 * What a branch or a loop runs. Its nodes may read any value of the graph around it, and no name of a value is used
 * twice in a graph and its bodies; what a body knows by itself is among the graph's parameters and constants. Bodies
 * are gone once a graph is bound.
 */
export interface Body {
  readonly name: string;
  readonly inputs: readonly string[];
  /** With the type that the file declares, if it does: nothing but an empty stack of outputs needs it. */
  readonly outputs: readonly { readonly name: string; readonly declared?: ValueInfo }[];
  /** In topological order. */
  readonly nodes: readonly Node[];
}

/** A graph as imported or built: shapes of inputs may be symbolic, inner types are not known yet. */
export interface Graph {
  readonly name: string;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** In topological order. */
  readonly nodes: readonly Node[];
  /** Trainable float initializers, in the model's order. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** Everything else that is known: integer initializers, folded values. */
  readonly constants: ReadonlyMap<string, Tensor>;
}

/**
 * A graph for one choice of input shapes: every value's type is known, shape arithmetic is folded away.
 * Parameters are inputs here (`parameters` names them), never constants: an engine is given them at run time.
 */
export interface TypedGraph {
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly Node[];
  /** Parameters by name, in the model's order, with their types. */
  readonly parameters: ReadonlyMap<string, TensorType>;
  readonly constants: ReadonlyMap<string, Tensor>;
  /** The type of every value: inputs, parameters, constants and node outputs. */
  readonly types: ReadonlyMap<string, TensorType>;
}

export const attribute = {
  int: (value: number): AttributeValue => ({ kind: 'int', value }),
  float: (value: number): AttributeValue => ({ kind: 'float', value }),
  string: (value: string): AttributeValue => ({ kind: 'string', value }),
  ints: (value: readonly number[]): AttributeValue => ({ kind: 'ints', value }),
  floats: (value: readonly number[]): AttributeValue => ({ kind: 'floats', value }),
  strings: (value: readonly string[]): AttributeValue => ({ kind: 'strings', value }),
  tensor: (value: Tensor): AttributeValue => ({ kind: 'tensor', value }),
  body: (value: Body): AttributeValue => ({ kind: 'body', value }),
};

/** The integer attribute `name`, or `fallback` (ONNX's default) where it is absent. @throws ShapeError for another kind */
export function intAttribute(node: Node, name: string, fallback: number): number {
  return attributeOf(node, name, 'int') ?? fallback;
}

/** A float attribute; an integer is one too. @throws ShapeError for another kind */
export function floatAttribute(node: Node, name: string, fallback: number): number {
  if (node.attributes[name]?.kind === 'int') return intAttribute(node, name, fallback);
  return attributeOf(node, name, 'float') ?? fallback;
}

/** @throws ShapeError for another kind */
export function stringAttribute(node: Node, name: string, fallback: string): string {
  return attributeOf(node, name, 'string') ?? fallback;
}

/** @throws ShapeError for another kind */
export function intsAttribute(node: Node, name: string): readonly number[] | undefined {
  return attributeOf(node, name, 'ints');
}

/** The body of a branch or loop. @throws ShapeError for another kind */
export function bodyAttribute(node: Node, name: string): Body | undefined {
  return attributeOf(node, name, 'body');
}

type Kind = AttributeValue['kind'];
type ValueOf<K extends Kind> = Extract<AttributeValue, { readonly kind: K }>['value'];

function attributeOf<K extends Kind>(node: Node, name: string, kind: K): ValueOf<K> | undefined {
  const found = Object.hasOwn(node.attributes, name) ? node.attributes[name] : undefined;
  if (found === undefined || found.kind === kind) return found?.value as ValueOf<K> | undefined;
  throw new ShapeError(node, `has an attribute "${name}" of kind ${found.kind}; ${kind} would be accepted`);
}
