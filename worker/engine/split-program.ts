import type { Bytes } from '../../base/index.js';
import type { TensorData, TypedGraph } from '../../graph/index.js';
import { sizeOf } from '../../graph/index.js';
import { largeValue, splitLarge, type SplitEdge } from '../../graph/passes/index.js';
import { RunError } from './errors.js';
import { checkIndices, indexRanges } from './indices.js';
import { checkBuffers, inputSpecs, outputSpecs, type EngineName, type Program } from './port.js';

/** What compiles graphs in which no value is too large. */
interface Compiler {
  readonly engine: EngineName;
  /** The most that one value may take on the device; undefined: there is no such limit. */
  readonly largestBytes: Bytes | undefined;
  readonly compile: (graph: TypedGraph) => Promise<Program>;
}

/**
 * Compiles a graph for a device that binds buffers of a limited size: values beyond it are computed in pieces. Any other
 * graph is compiled as it is.
 * @throws UnsplittableError naming the node and the value that has to be whole
 */
export async function compileWithin(
  { engine, largestBytes, compile }: Compiler,
  graph: TypedGraph,
): Promise<Program> {
  if (largestBytes === undefined || largeValue(graph, largestBytes) === undefined) return compile(graph);
  const { graph: split, inputs, outputs } = splitLarge(graph, largestBytes);
  return inPieces(engine, graph, { program: await compile(split), inputs, outputs });
}

/** A program of pieces, and the whole values that they are runs of. */
interface Pieces {
  readonly program: Program;
  readonly inputs: readonly SplitEdge[];
  readonly outputs: readonly SplitEdge[];
}

/** The program as its caller knows it: whole arrays, of which the pieces are views. */
function inPieces(engine: EngineName, graph: TypedGraph, { program, inputs, outputs }: Pieces): Program {
  const [reads, writes] = [inputSpecs(graph), outputSpecs(graph)];
  // the pieces of a table do not know which rows the whole has
  const ranges = indexRanges(graph);
  return {
    inputs: reads,
    outputs: writes,
    fallbacks: program.fallbacks,
    async run(read, written) {
      checkBuffers(reads, read, 'input');
      checkBuffers(writes, written, 'output');
      reads.forEach(({ name }, i) => {
        const range = ranges.get(name);
        if (range) within(engine, graph, () => checkIndices(name, range, read[i]!));
      });
      await program.run(cut(inputs, read), cut(outputs, written));
    },
    dispose: () => program.dispose(),
  };
}

function within(engine: EngineName, graph: TypedGraph, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (error instanceof RangeError) throw new RunError(engine, graph.name, error.message, { cause: error });
    throw error;
  }
}

/** Views of arrays, in the order of the pieces. */
function cut(edges: readonly SplitEdge[], arrays: readonly TensorData[]): readonly TensorData[] {
  return edges.flatMap(({ pieces }, i) =>
    pieces.map(({ start, shape }) => arrays[i]!.subarray(start, start + sizeOf(shape))),
  );
}
