import {
  emptyData,
  fromReference,
  sizeOf,
  toReference,
  type Node,
  type Reference,
  type TypedGraph,
} from '../../graph/index.js';
import { subgraph } from '../../graph/passes/index.js';
import { CompileError, RunError, type Engine } from '../engine/index.js';
import { describeValue, type Described } from './describe.js';

/** How many nodes one program has: what an engine does wrong is not handed on to the next. */
const NODES_PER_PROGRAM = 16;

/** A value that an engine computes otherwise. */
export interface Difference {
  readonly node: string;
  readonly operator: string;
  readonly value: string;
  /** ||theirs - ours|| / (||ours|| + 1e-8); null where one is not a number and the other is. */
  readonly error: number | null;
  readonly ours: Described;
  readonly theirs: Described;
}

export interface Comparison {
  readonly engine: string;
  readonly device: string;
  readonly tolerance: number;
  /** Values that were compared. */
  readonly compared: number;
  /** The first in the graph's order that differs by more than `tolerance`. */
  readonly first: Difference | null;
  /** The largest error of a value; null where none was compared or one is not a number. */
  readonly worst: { readonly value: string; readonly error: number | null } | null;
  /** Nodes that the engine does not run, with its words. */
  readonly notRun: readonly { readonly node: string; readonly operator: string; readonly reason: string }[];
}

/**
 * Has an engine compute every node of a graph and compares every result with ours. Nodes run in small programs that
 * give all of their values and start from ours, so that the first difference is where something goes wrong, not where
 * small errors have added up.
 * @param known our values, by name
 * @param passed told of the nodes that are done
 */
export async function compareWith(
  engine: Engine,
  graph: TypedGraph,
  nodes: readonly Node[],
  known: ReadonlyMap<string, Reference>,
  tolerance: number,
  passed: (done: number, total: number) => void = () => undefined,
): Promise<Comparison> {
  const notRun: Comparison['notRun'][number][] = [];
  let [compared, done] = [0, 0];
  let first: Difference | null = null;
  let worst: { value: string; error: number } | undefined;
  const open: (readonly Node[])[] = piecesOf(nodes, NODES_PER_PROGRAM);
  for (let piece = open.shift(); piece; piece = open.shift()) {
    let theirs: ReadonlyMap<string, Reference>;
    try {
      theirs = await run(engine, graph, piece, known);
    } catch (error) {
      if (!(error instanceof CompileError || error instanceof RunError)) throw error;
      if (piece.length > 1) {
        open.unshift(...piecesOf(piece, Math.ceil(piece.length / 2))); // one of them it cannot do: which?
        continue;
      }
      const { name: node, operator } = piece[0]!;
      notRun.push({ node, operator, reason: error.message });
      theirs = new Map();
    }
    for (const node of piece) {
      for (const value of node.outputs) {
        const [mine, other] = [known.get(value), theirs.get(value)];
        if (!mine || !other) continue;
        compared++;
        const error = relativeError(other.data, mine.data);
        if (!worst || !(error <= worst.error)) worst = { value, error };
        if (!first && !(error <= tolerance)) first = difference(node, value, error, mine, other);
      }
    }
    done += piece.length;
    passed(done, nodes.length);
  }
  const { name, device } = engine;
  const largest = worst ? { value: worst.value, error: finiteOrNull(worst.error) } : null;
  return { engine: name, device, tolerance, compared, first, worst: largest, notRun };
}

function difference(
  { name, operator }: Node,
  value: string,
  error: number,
  ours: Reference,
  theirs: Reference,
): Difference {
  const described = (reference: Reference) => describeValue({ name: value, value: reference });
  const sides = { ours: described(ours), theirs: described(theirs) };
  return { node: name, operator, value, error: finiteOrNull(error), ...sides };
}

const finiteOrNull = (x: number): number | null => (Number.isFinite(x) ? x : null);

function piecesOf(nodes: readonly Node[], size: number): (readonly Node[])[] {
  const pieces: (readonly Node[])[] = [];
  for (let start = 0; start < nodes.length; start += size) pieces.push(nodes.slice(start, start + size));
  return pieces;
}

/** Some nodes on the engine, from our values: everything that they make. */
async function run(
  engine: Engine,
  graph: TypedGraph,
  nodes: readonly Node[],
  known: ReadonlyMap<string, Reference>,
): Promise<ReadonlyMap<string, Reference>> {
  const outputs = nodes.flatMap((node) => node.outputs.filter((name) => name !== ''));
  const part = subgraph(graph, nodes, outputs, `${graph.name}/${nodes[0]!.name}`);
  const program = await engine.compile(part);
  try {
    const given = program.inputs.map(({ name }) => fromReference(known.get(name)!).data);
    const results = program.outputs.map(({ dtype, shape }) => emptyData(dtype, sizeOf(shape)));
    await program.run(given, results);
    return new Map(
      program.outputs.map(({ dtype, shape }, i) => [
        outputs[i]!,
        toReference({ dtype, shape, data: results[i]! }),
      ]),
    );
  } finally {
    await program.dispose();
  }
}

/**
 * ||a - b|| / (||b|| + 1e-8). Elements that are equal, also as infinities and NaN, differ by nothing; of others that
 * are not finite the error is NaN.
 */
export function relativeError(a: Float64Array, b: Float64Array): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    const [x, y] = [a[i]!, b[i]!];
    if (x !== y && !(Number.isNaN(x) && Number.isNaN(y))) difference += (x - y) ** 2;
    if (Number.isFinite(y)) size += y ** 2;
  }
  return Number.isFinite(difference) ? Math.sqrt(difference) / (Math.sqrt(size) + 1e-8) : NaN;
}
