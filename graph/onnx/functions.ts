import { modelError, type Place } from './fail.js';
import type { AttributeProto, FunctionProto, ModelProto, NodeProto } from './gen/onnx_pb.js';

/** Functions that call functions, and bodies in bodies, at most. */
export const DEEPEST_CALLS = 64;
export const DEEPEST_BODIES = 16;
/** Nodes of a model, its bodies included, once every call is written out. */
export const MOST_NODES = 200_000;

interface Extent {
  /** Nodes once every call is written out. */
  readonly nodes: number;
  /** Calls within calls. */
  readonly calls: number;
}

/**
 * The functions that a model defines, and how large it becomes when their calls are written out: a file of a few
 * kilobytes can ask for 2^60 nodes, so that is counted first.
 */
export class FunctionLibrary {
  private readonly functions = new Map<string, FunctionProto>();
  private readonly extents = new Map<FunctionProto, Extent>();
  private readonly open = new Set<FunctionProto>();

  /** @throws ModelError for a function without a name, or two of one name */
  constructor(
    { functions }: ModelProto,
    private readonly source: string,
  ) {
    for (const each of functions) {
      const key = keyOf(each.domain, each.name, each.overload);
      if ((each.name ?? '') === '' || this.functions.has(key)) {
        throw modelError({ source }, `the function "${titleOf(each)}" is defined twice, or has no name`);
      }
      this.functions.set(key, each);
    }
  }

  /** The function that a node calls, if it calls one. */
  find(node: NodeProto): FunctionProto | undefined {
    if (this.functions.size === 0) return undefined;
    return this.functions.get(keyOf(node.domain, node.opType, node.overload));
  }

  /**
   * Makes sure that writing out the calls among `nodes` ends, and how large it becomes.
   * @throws ModelError naming the node for a function that calls itself, nesting or a size beyond the caps
   */
  check(nodes: readonly NodeProto[]): void {
    let total = 0;
    for (const node of nodes) {
      const extent = this.extentOf(node, 0, 0);
      total += extent.nodes;
      const what = `node "${node.name ?? ''}" (${node.opType ?? ''})`;
      const at: Place = { source: this.source, node: node.name ?? '' };
      if (total > MOST_NODES) {
        throw modelError(
          at,
          `with ${what} written out the model has more than ${MOST_NODES} nodes, which is the most that would be accepted`,
        );
      }
    }
  }

  private extentOf(node: NodeProto, calls: number, bodies: number): Extent {
    const at: Place = { source: this.source, node: node.name ?? '' };
    const what = `node "${node.name ?? ''}" (${node.opType ?? ''})`;
    if (bodies > DEEPEST_BODIES) {
      throw modelError(
        at,
        `${what} lies in more than ${DEEPEST_BODIES} branches and loops, one in another; at most ${DEEPEST_BODIES} would be accepted`,
      );
    }
    const called = this.find(node);
    const inner = called ? [this.functionExtent(called, what, at, calls)] : [];
    for (const body of bodyNodes(node.attribute)) {
      inner.push(sumOf(body.map((each) => this.extentOf(each, calls, bodies + 1))));
    }
    const { nodes, calls: deepest } = sumOf(inner);
    return { nodes: Math.min(nodes + (called ? 0 : 1), 2 * MOST_NODES), calls: deepest };
  }

  private functionExtent(called: FunctionProto, what: string, at: Place, calls: number): Extent {
    if (this.open.has(called)) {
      throw modelError(
        at,
        `${what} is a call of the function "${titleOf(called)}" from within itself; functions that end would be accepted`,
      );
    }
    const known = this.extents.get(called);
    if (calls + 1 + (known?.calls ?? 0) > DEEPEST_CALLS) {
      throw modelError(
        at,
        `${what} is a function called by more than ${DEEPEST_CALLS} others, one within another; at most ${DEEPEST_CALLS} would be accepted`,
      );
    }
    if (known) return known;
    this.open.add(called);
    const { nodes, calls: within } = sumOf(called.node.map((each) => this.extentOf(each, calls + 1, 0)));
    this.open.delete(called);
    const extent: Extent = { nodes, calls: within + 1 };
    this.extents.set(called, extent);
    return extent;
  }
}

/** The nodes of each body among the attributes. */
export function bodyNodes(attributes: readonly AttributeProto[]): readonly (readonly NodeProto[])[] {
  return attributes.flatMap(({ g, graphs }) => [...(g ? [g] : []), ...graphs].map(({ node }) => node));
}

export function titleOf({ domain, name, overload }: FunctionProto): string {
  const tail = (overload ?? '') === '' ? '' : `:${overload ?? ''}`;
  return `${domainOf(domain) === '' ? '' : `${domainOf(domain)}.`}${name ?? ''}${tail}`;
}

/** A domain as the IR writes it: ai.onnx is ''. */
export function domainOf(domain: string | undefined): string {
  return domain === undefined || domain === 'ai.onnx' ? '' : domain;
}

function keyOf(domain?: string, name?: string, overload?: string): string {
  return JSON.stringify([domainOf(domain), name ?? '', overload ?? '']);
}

function sumOf(extents: readonly Extent[]): Extent {
  let nodes = 0;
  let calls = 0;
  for (const each of extents) {
    nodes = Math.min(nodes + each.nodes, 2 * MOST_NODES);
    calls = Math.max(calls, each.calls);
  }
  return { nodes, calls };
}
