import { meaningOf } from '../custom/meaning.js';
import type { Node } from '../ir/graph.js';
import type { OperatorDefinition } from './definition.js';

/**
 * Operators by domain and name. A value, not a global: `operators/index.ts` builds the standard one. Nodes of users' own
 * operators bring their definition with them.
 */
export class OperatorRegistry {
  private readonly byKey: ReadonlyMap<string, OperatorDefinition>;

  constructor(definitions: readonly OperatorDefinition[]) {
    this.byKey = new Map(definitions.map((definition) => [keyOf(definition), definition]));
  }

  find(
    node: Pick<Node, 'operator' | 'domain'> & Partial<Pick<Node, 'attributes'>>,
  ): OperatorDefinition | undefined {
    const { operator, domain, attributes } = node;
    return this.byKey.get(keyOf(node)) ?? (attributes && meaningOf({ operator, domain, attributes }));
  }

  all(): readonly OperatorDefinition[] {
    return [...this.byKey.values()];
  }
}

function keyOf({ operator, domain }: { readonly operator: string; readonly domain: string }): string {
  return `${domain}:${operator}`;
}
