import { formatBytes, type Bytes } from '../../base/index.js';
import { byteLengthOf, peakActivationBytes, type TypedGraph } from '../../graph/index.js';

/** Something that takes memory of an executor. */
export interface HeldItem {
  readonly what: string;
  readonly bytes: Bytes;
}

/** How many values of a program are named. */
const NAMED_VALUES = 3;

/** What a run has allocated, by name: not to enforce anything, but to say what it was when the memory runs out. */
export class MemoryLedger {
  private readonly held = new Map<string, Bytes>();

  /** Things of one name are added up. Negative where some are given back. */
  add(what: string, bytes: Bytes): void {
    const sum = (this.held.get(what) ?? 0) + bytes;
    if (sum > 0) this.held.set(what, sum);
    else this.held.delete(what);
  }

  /**
   * Adds what a compiled program's values take at once (its account, not what the engine's arena makes of it), with
   * the largest of them by name.
   * @returns takes it off again
   */
  addProgram(name: string, graph: TypedGraph): () => void {
    const bytes = peakActivationBytes(graph);
    const what = `activations of ${name}${largestOf(graph)}`;
    this.add(what, bytes);
    return () => this.add(what, -bytes);
  }

  /** Largest first. */
  items(): readonly HeldItem[] {
    return largestFirst([...this.held].map(([what, bytes]) => ({ what, bytes })));
  }
}

export function largestFirst(items: readonly HeldItem[]): readonly HeldItem[] {
  return [...items].sort((a, b) => b.bytes - a.bytes);
}

function largestOf({ nodes, types }: TypedGraph): string {
  const values = new Map<string, HeldItem>();
  for (const name of nodes.flatMap((node) => node.outputs)) {
    const type = types.get(name);
    if (type) values.set(name, { what: `"${name}" [${type.shape.join(', ')}]`, bytes: byteLengthOf(type) });
  }
  const named = largestFirst([...values.values()]).slice(0, NAMED_VALUES);
  if (named.length === 0) return '';
  return ` (largest: ${named.map(({ what, bytes }) => `${what} ${formatBytes(bytes)}`).join(', ')})`;
}
