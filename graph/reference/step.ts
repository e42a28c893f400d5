import { InvariantError } from '../../base/index.js';
import { UnsupportedOperatorError } from '../errors.js';
import type { Node, TypedGraph } from '../ir/graph.js';
import { formatType, sameShape } from '../ir/tensor.js';
import type { Reference } from '../operators/definition.js';
import { standardOperators, type OperatorRegistry } from '../operators/index.js';
import { toReference } from './value.js';

/** A value of the graph with its name. */
export interface NamedValue {
  readonly name: string;
  readonly value: Reference;
}

/** One node that has just been computed. Omitted inputs and outputs are left out. */
export interface Step {
  /** Its place in the graph, from 0. */
  readonly index: number;
  readonly node: Node;
  readonly inputs: readonly NamedValue[];
  readonly outputs: readonly NamedValue[];
}

export interface StepOptions {
  readonly operators?: OperatorRegistry;
  /** What becomes of each result before others read it, such as rounding; the value itself where absent. */
  readonly settle?: (value: Reference) => Reference;
}

/**
 * The values that a graph starts from: inputs, parameters and constants.
 * @throws InvariantError where one is missing or of another type than the graph says
 */
export function startValues(
  typed: TypedGraph,
  values: ReadonlyMap<string, Reference>,
): Map<string, Reference> {
  const known = new Map<string, Reference>();
  for (const name of [...typed.inputs, ...typed.parameters.keys()]) {
    const value = values.get(name);
    const type = typed.types.get(name);
    if (!value || !type) throw new InvariantError(`no value is given for "${name}"`);
    if (value.dtype !== type.dtype || !sameShape(value.shape, type.shape)) {
      throw new InvariantError(
        `"${name}" is given as ${formatType(value)}; the graph has ${formatType(type)}`,
      );
    }
    known.set(name, value);
  }
  for (const [name, tensor] of typed.constants) known.set(name, toReference(tensor));
  return known;
}

/**
 * Runs a typed graph node by node, in its order, and stands still after each: what follows is computed when the next
 * step is asked for, and never where it is not.
 *
 * @param known what `startValues` gives; every result is added to it
 * @throws InvariantError where a value is read before it is there
 */
export function* steps(
  typed: Pick<TypedGraph, 'nodes'>,
  known: Map<string, Reference>,
  { operators = standardOperators, settle = (value) => value }: StepOptions = {},
): Generator<Step, void> {
  for (const [index, node] of typed.nodes.entries()) {
    const definition = operators.find(node);
    if (!definition) {
      throw new UnsupportedOperatorError([{ operator: node.operator, nodes: [node.name] }], 'definition');
    }
    const inputs = node.inputs.map((name) => (name === '' ? undefined : valueOf(known, name)));
    // Inferred again, because an omitted output has no type in the graph.
    const types = definition.infer(node, inputs, inputs);
    const outputs: NamedValue[] = [];
    definition.evaluate(node, inputs, types).forEach((result, i) => {
      const name = node.outputs[i];
      if (!name) return;
      const value = settle(result);
      known.set(name, value);
      outputs.push({ name, value });
    });
    const given = inputs.flatMap((value, i) => (value ? [{ name: node.inputs[i]!, value }] : []));
    yield { index, node, inputs: given, outputs };
  }
}

/** @throws InvariantError for a value that is not there */
export function valueOf(known: ReadonlyMap<string, Reference>, name: string): Reference {
  const value = known.get(name);
  if (!value) throw new InvariantError(`value "${name}" is used before it is computed`);
  return value;
}
