import { closest, matchesGlob } from '../../base/index.js';
import { originOf, type Node, type TypedGraph } from '../../graph/index.js';
import { UnknownNameError } from './errors.js';

/**
 * The nodes that a pattern names: those with such a name; else those written for nodes of the model with such a name.
 * @param nodes of the training graph
 * @param own names of the model's nodes
 * @param field for the message: the option
 * @throws UnknownNameError with the closest names
 */
export function nodesNamed(
  pattern: string,
  nodes: readonly Node[],
  own: ReadonlySet<string>,
  field: string,
): readonly Node[] {
  const same = nodes.filter(({ name }) => matchesGlob(pattern, name));
  if (same.length > 0) return same;
  const written = nodes.filter(({ name }) => matchesGlob(pattern, originOf(name, own) ?? ''));
  if (written.length > 0) return written;
  const gone = [...own].find((name) => matchesGlob(pattern, name));
  const near = quoted(closest(pattern, new Set(nodes.map(({ name }) => name))));
  throw new UnknownNameError(
    gone === undefined
      ? `${field} ${pattern}: no node that runs has such a name; the closest are ${near}`
      : `${field} ${pattern}: the model's node "${gone}" is not in this part of the step: it is computed beforehand, merged with ` +
          `another, or of the other phase; the closest that run are ${near}`,
    { ids: { pattern } },
  );
}

/**
 * The values that a pattern names: inputs, parameters, constants, results of nodes; else the results of nodes that it
 * names.
 * @throws UnknownNameError with the closest names
 */
export function valuesNamed(
  pattern: string,
  graph: TypedGraph,
  nodes: readonly Node[],
  own: ReadonlySet<string>,
  field: string,
): ReadonlySet<string> {
  const results = nodes.flatMap(({ outputs }) => outputs.filter((name) => name !== ''));
  const known = new Set([...graph.inputs, ...graph.parameters.keys(), ...graph.constants.keys(), ...results]);
  const found = [...known].filter((name) => matchesGlob(pattern, name));
  if (found.length > 0) return new Set(found);
  try {
    const of = nodesNamed(pattern, nodes, own, field);
    return new Set(of.flatMap(({ outputs }) => outputs.filter((name) => name !== '')));
  } catch (error) {
    if (!(error instanceof UnknownNameError)) throw error;
    const near = quoted(closest(pattern, known));
    throw new UnknownNameError(
      `${field} ${pattern}: no value has such a name, and no node; the closest values are ${near}`,
      { ids: { pattern }, cause: error },
    );
  }
}

const quoted = (names: readonly string[]): string => names.map((name) => `"${name}"`).join(', ');
