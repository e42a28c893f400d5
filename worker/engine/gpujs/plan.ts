import {
  formatType,
  isView,
  sizeOf,
  type Node,
  type Tensor,
  type TensorType,
  type TypedGraph,
} from '../../../graph/index.js';
import { CompileError } from '../errors.js';
import type { Fallback } from '../port.js';
import { UnsupportedFormError } from './errors.js';
import { foldConstants } from './fold.js';
import { fuse, kernelOf, type Step } from './fuse.js';
import type { Backend, Kernel, KernelContext } from './kernel.js';
import { cellRuleOf, indexedLengths, keepsElements, kernelRuleOf } from './kernels/index.js';
import { HELD_TYPES, LARGEST_INTEGER } from './values.js';

/** A node that cannot be written as launches. */
class RefusedNodeError extends CompileError {
  constructor(
    engine: string,
    graph: string,
    { name, operator, domain }: Node,
    readonly reason: string,
    cause?: unknown,
  ) {
    const full = domain === '' ? operator : `${domain}.${operator}`;
    super(engine, graph, `node "${name}" (${full}): ${reason}`, { ids: { node: name, operator }, cause });
  }
}

/** A launch, and the node that it is for: messages name it. */
export interface Launch {
  readonly kernel: Kernel;
  readonly node: Node;
}

/** Indices that come from outside: what they may name is checked before anything is computed. */
export interface IndexCheck {
  readonly input: string;
  readonly node: Node;
  /** The lengths that the elements index, in turn. */
  readonly lengths: readonly number[];
}

/** A graph as launches. Names of values are those that hold memory: views are gone. */
export interface Plan {
  /** In the order of execution. */
  readonly launches: readonly Launch[];
  /** The graph's inputs and parameters that launches read. */
  readonly inputs: readonly string[];
  /** Constants that launches read. */
  readonly constants: ReadonlyMap<string, Tensor>;
  /** Where the graph's outputs are found. */
  readonly outputs: readonly Source[];
  readonly checks: readonly IndexCheck[];
  /** Elements of every value that holds memory. */
  readonly sizes: ReadonlyMap<string, number>;
}

export type Source =
  | { readonly kind: 'input'; readonly name: string }
  | { readonly kind: 'constant'; readonly tensor: Tensor }
  | { readonly kind: 'launch'; readonly name: string };

/**
 * Writes a graph as launches: constants folded, views aliased, what is computed cell by cell joined.
 * @throws CompileError naming the node and its operator
 */
export function planOf(graph: TypedGraph, backend: Backend, engine: string): Plan {
  return new Planner(graph, backend, engine).plan();
}

/** Every node that this engine has no launches for, with why. */
export function refusalsOf(graph: TypedGraph, backend: Backend): readonly Fallback[] {
  const planner = new Planner(graph, backend, 'gpujs');
  return planner.refusals();
}

class Planner {
  private readonly aliases = new Map<string, string>();
  private readonly constants: ReadonlyMap<string, Tensor>;
  private readonly nodes: readonly Node[];
  private readonly steps: Step[] = [];
  /** The node behind every value that launches make. */
  private readonly makers = new Map<string, Node>();
  private readonly literals = new Map<string, number | undefined>();
  private readonly checks: IndexCheck[] = [];
  private readonly given: ReadonlySet<string>;

  constructor(
    private readonly graph: TypedGraph,
    private readonly backend: Backend,
    private readonly engine: string,
  ) {
    const { nodes, constants } = foldConstants(graph);
    this.constants = constants;
    this.given = new Set([...graph.inputs, ...graph.parameters.keys()]);
    this.nodes = neededNodes(nodes, graph.outputs);
  }

  plan(): Plan {
    for (const node of this.nodes) this.write(node);
    const outputs = this.graph.outputs.map((name) => this.sourceOf(name));
    const kept = new Set(outputs.flatMap((source) => (source.kind === 'launch' ? [source.name] : [])));
    const options = { backend: this.backend, kept, literalOf: (value: string) => this.literalOf(value) };
    const kernels = fuse(this.steps, options).map((each) =>
      'members' in each ? kernelOf(each, options) : each,
    );
    const launches = kernels.map((kernel) => ({ kernel, node: this.makers.get(kernel.output)! }));
    const read = new Set(kernels.flatMap(({ inputs }) => inputs));
    const constants = new Map([...this.constants].filter(([name]) => read.has(name)));
    for (const [name, tensor] of constants) this.checkIntegers(name, tensor, launches);
    const sizes = new Map<string, number>(kernels.map(({ output, extents }) => [output, sizeOf(extents)]));
    for (const name of read) if (!sizes.has(name)) sizes.set(name, sizeOf(this.typeOf(name).shape));
    const inputs = [...this.given].filter((name) => read.has(name));
    return { launches, inputs, constants, outputs, checks: this.checks, sizes };
  }

  refusals(): readonly Fallback[] {
    return this.nodes.flatMap((node) => {
      try {
        this.write(node);
        return [];
      } catch (error) {
        if (!(error instanceof RefusedNodeError)) throw error;
        return [{ node: node.name, operator: node.operator, reason: error.reason }];
      }
    });
  }

  private write(node: Node): void {
    if (isView(node) || keepsElements(node, this)) {
      this.aliases.set(node.outputs[0]!, this.rootOf(node.inputs[0]!));
      return;
    }
    // updates of nothing
    if (
      node.domain === '' &&
      node.operator.startsWith('Scatter') &&
      sizeOf(this.typeOf(node.inputs[1]!).shape) === 0
    ) {
      this.aliases.set(node.outputs[0]!, this.rootOf(node.inputs[0]!));
      return;
    }
    this.checkTypes(node);
    this.checkIndices(node);
    const context = this.contextOf(node);
    try {
      const cells = cellRuleOf(node)?.(node, context);
      if (cells) {
        for (const cell of cells) {
          this.makers.set(cell.output, node);
          const reads = cell.reads.map((read) => ({ ...read, value: this.rootOf(read.value) }));
          this.steps.push({ kind: 'cell', cell: { ...cell, reads } });
        }
        return;
      }
      const kernels = kernelRuleOf(node)?.(node, context);
      if (!kernels) throw new UnsupportedFormError('it has no kernel for this operator');
      for (const { output } of kernels) this.makers.set(output, node);
      this.steps.push({
        kind: 'kernels',
        kernels: kernels.map((kernel) => ({
          ...kernel,
          inputs: kernel.inputs.map((name) => this.rootOf(name)),
        })),
      });
    } catch (error) {
      if (error instanceof UnsupportedFormError) throw this.refusal(node, error.message, error);
      throw error;
    }
  }

  private refusal(node: Node, reason: string, cause?: unknown): RefusedNodeError {
    return new RefusedNodeError(this.engine, this.graph.name, node, reason, cause);
  }

  private contextOf(node: Node): KernelContext {
    let made = 0;
    return {
      typeOf: (value) => this.typeOf(value),
      constantOf: (value) => {
        const tensor = this.constants.get(value);
        return tensor && Array.from(tensor.data as ArrayLike<number | bigint>, Number);
      },
      fresh: (hint) => `${node.name}/${hint}.${made++}`,
      backend: this.backend,
    };
  }

  typeOf(name: string): TensorType {
    return this.graph.types.get(name)!;
  }

  private rootOf(name: string): string {
    return this.aliases.get(name) ?? name;
  }

  private sourceOf(name: string): Source {
    const tensor = this.constants.get(name);
    if (tensor) return { kind: 'constant', tensor };
    const root = this.rootOf(name);
    const known = this.constants.get(root);
    if (known) return { kind: 'constant', tensor: known };
    return { kind: this.given.has(root) ? 'input' : 'launch', name: root };
  }

  /** The number that all elements of a constant are, where it can stand in a kernel. */
  private literalOf(name: string): number | undefined {
    if (this.literals.has(name)) return this.literals.get(name);
    const tensor = this.constants.get(name);
    let value: number | undefined;
    if (tensor && tensor.data.length > 0) {
      const first = tensor.data[0]!;
      const uniform = Array.prototype.every.call(tensor.data, (each) => each === first);
      if (uniform && Number.isFinite(Number(first))) value = Number(first);
      // read as a constant, it is refused
      if (tensor.dtype !== 'float32' && Math.abs(value ?? 0) > LARGEST_INTEGER) value = undefined;
    }
    this.literals.set(name, value);
    return value;
  }

  private checkTypes(node: Node): void {
    for (const name of [...node.inputs, ...node.outputs]) {
      if (name === '') continue;
      const type = this.typeOf(name);
      if (HELD_TYPES.has(type.dtype)) continue;
      throw this.refusal(
        node,
        `"${name}" is ${formatType(type)}, which it cannot hold: it computes ${[...HELD_TYPES].join(', ')}, all as float32`,
      );
    }
  }

  private checkIntegers(name: string, tensor: Tensor, launches: readonly Launch[]): void {
    if (tensor.dtype === 'float32' || tensor.dtype === 'bool') return;
    const large = Array.from(tensor.data as ArrayLike<number | bigint>, Number).find(
      (x) => Math.abs(x) > LARGEST_INTEGER,
    );
    if (large === undefined) return;
    const reader = launches.find(({ kernel }) => kernel.inputs.includes(name))!;
    throw this.refusal(reader.node, `constant "${name}" holds ${large}; integers up to 2^24 are exact here`);
  }

  /** Indices that are an input are checked on the way in. */
  private checkIndices(node: Node): void {
    const [data, indices] = node.inputs;
    if (data === undefined || indices === undefined || data === '' || indices === '') return;
    const lengths = indexedLengths(node, this.typeOf(data).shape, this.typeOf(indices).shape);
    const input = this.rootOf(indices);
    if (lengths.length > 0 && this.given.has(input)) this.checks.push({ input, node, lengths });
  }
}

/** The nodes that `outputs` need. */
function neededNodes(nodes: readonly Node[], outputs: readonly string[]): readonly Node[] {
  const wanted = new Set(outputs);
  return nodes
    .toReversed()
    .filter((node) => {
      const needed = node.outputs.some((name) => wanted.has(name));
      if (needed) node.inputs.forEach((name) => wanted.add(name));
      return needed;
    })
    .reverse();
}
