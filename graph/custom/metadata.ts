import type { Node } from '../ir/graph.js';
import { readOperator, titleOf, writeOperator, type CustomOperator } from './definition.js';
import { OperatorError } from './errors.js';
import { customOf } from './node.js';

/** The key of a model's metadata that holds the definitions of the operators that it uses. */
export const OPERATORS_KEY = 'dtrain.operators';

const MOST_OPERATORS = 256;

/** Definitions of users' operators by domain and name. */
export class CustomOperators {
  private readonly byTitle: ReadonlyMap<string, CustomOperator>;

  /** @throws OperatorError for two of one name */
  constructor(readonly all: readonly CustomOperator[] = []) {
    this.byTitle = new Map(all.map((each) => [titleOf(each), each]));
    for (const each of all)
      if (this.byTitle.get(titleOf(each)) !== each)
        throw new OperatorError(titleOf(each), 'is defined twice; one definition would be accepted');
  }

  find(domain: string, name: string): CustomOperator | undefined {
    return domain === '' ? undefined : this.byTitle.get(titleOf({ domain, name }));
  }
}

/** Definitions as the text of a model's metadata. */
export function writeOperators(operators: readonly CustomOperator[]): string {
  return JSON.stringify(operators.map(writeOperator));
}

/**
 * Reads what `writeOperators` writes, from wherever it comes. Nothing of it is run.
 * @throws OperatorError, KernelError
 */
export function readOperators(text: string): readonly CustomOperator[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    list = undefined;
  }
  if (!Array.isArray(list) || list.length > MOST_OPERATORS)
    throw new OperatorError('?', `"${OPERATORS_KEY}" of the model's metadata is no list of definitions`);
  return list.map(readOperator);
}

/** The definitions that nodes carry, each once. */
export function operatorsIn(nodes: readonly Node[]): readonly CustomOperator[] {
  const found = new Map<string, CustomOperator>();
  for (const node of nodes) {
    const operator = customOf(node)?.operator;
    if (!operator) continue;
    const title = titleOf(operator);
    const known = found.get(title) ?? operator;
    if (
      known !== operator &&
      JSON.stringify(writeOperator(known)) !== JSON.stringify(writeOperator(operator))
    )
      throw new OperatorError(title, 'has two definitions in one model; one would be accepted');
    found.set(title, known);
  }
  return [...found.values()];
}
