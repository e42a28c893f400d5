import { InvariantError } from '../../base/index.js';
import { UnsupportedOperatorError } from '../errors.js';
import type { TypedGraph } from '../ir/graph.js';
import { formatType, sameShape } from '../ir/tensor.js';
import type { Reference } from '../operators/definition.js';
import { standardOperators, type OperatorRegistry } from '../operators/index.js';
import { toReference } from './value.js';

/**
 * Runs a typed graph in float64, node by node, after each operator's obvious meaning. Slow; what engines are
 * compared with. Nothing is rounded between nodes.
 *
 * @param values a value for every input and every parameter
 * @returns the graph's outputs by name
 * @throws InvariantError where a value is missing or of another type than the graph says
 */
export function evaluate(
  typed: TypedGraph,
  values: ReadonlyMap<string, Reference>,
  operators: OperatorRegistry = standardOperators,
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
  for (const node of typed.nodes) {
    const definition = operators.find(node);
    if (!definition) {
      throw new UnsupportedOperatorError([{ operator: node.operator, nodes: [node.name] }], 'definition');
    }
    const inputs = node.inputs.map((name) => (name === '' ? undefined : valueOf(known, name)));
    // Inferred again, because an omitted output has no type in the graph.
    const types = definition.infer(node, inputs, inputs);
    definition.evaluate(node, inputs, types).forEach((value, i) => {
      const output = node.outputs[i];
      if (output) known.set(output, value);
    });
  }
  return new Map(typed.outputs.map((name) => [name, valueOf(known, name)]));
}

function valueOf(known: ReadonlyMap<string, Reference>, name: string): Reference {
  const value = known.get(name);
  if (!value) throw new InvariantError(`value "${name}" is used before it is computed`);
  return value;
}
