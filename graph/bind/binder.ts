import { ShapeError } from '../errors.js';
import { GraphBuilder } from '../ir/builder.js';
import type { Graph, Node, TypedGraph } from '../ir/graph.js';
import { stopsGradient } from '../ir/stop-gradient.js';
import type { Tensor, TensorType } from '../ir/tensor.js';
import type { OperatorDefinition, OperatorRegistry, Reference } from '../operators/index.js';
import { fromReference, toReference } from '../reference/value.js';
import { checkOutputs, explainShape } from './advice.js';
import { withExplicitPads } from './explicit.js';
import { FoldAllowance, isWorthFolding } from './fold.js';
import type { BoundInputs } from './inputs.js';
import { definitionsOf, liveValues } from './live.js';
import { checkSizes } from './sizes.js';

/** Operators that look at the type of one input only: they fold though its values are not known. */
const TYPE_ONLY: Readonly<Record<string, number>> = { Shape: 0, Size: 0, EyeLike: 0, CastLike: 1 };

/**
 * Builds the typed graph in one pass over the nodes, in their (topological) order.
 *
 * A value of the untyped graph is, at any point: an alias of another value, a known constant that no node
 * has needed yet (and may never), or a value of the builder.
 */
export class Binder {
  private readonly builder: GraphBuilder;
  private readonly aliases = new Map<string, string>();
  private readonly constants: Map<string, Tensor>;
  private readonly references = new Map<string, Reference>();
  private readonly outputs: ReadonlySet<string>;
  private readonly allowance = new FoldAllowance();

  /** @param live the values that are wanted: by default those that some output depends on */
  constructor(
    private readonly graph: Graph,
    private readonly operators: OperatorRegistry,
    private readonly inputs: BoundInputs,
    private readonly live: Pick<ReadonlySet<string>, 'has'> = liveValues(graph),
  ) {
    this.builder = new GraphBuilder(operators);
    this.constants = new Map(graph.constants);
    this.outputs = new Set(graph.outputs.map((output) => output.name));
    for (const [name, type] of inputs.types) this.builder.input(name, type);
    for (const [name, { dtype, shape }] of graph.parameters) {
      if (live.has(name)) this.builder.parameter(name, { dtype, shape });
    }
  }

  bind(): TypedGraph {
    const nodes = this.graph.nodes.filter((node) => node.outputs.some((output) => this.live.has(output)));
    const definitions = definitionsOf(nodes, this.operators);
    nodes.forEach((node, i) => this.bindNode(node, definitions[i]!));
    for (const output of this.outputs) this.settleOutput(output);
    checkOutputs(this.graph, this.inputs, (output) => this.builder.typeOf(output));
    return this.builder.build(
      this.graph.name,
      this.graph.outputs.map((output) => output.name),
    );
  }

  /**
   * Binds the next node; its inputs must be bound.
   * @throws ShapeError, ModelError
   */
  bindNode(original: Node, definition: OperatorDefinition): void {
    const inputs = original.inputs.map((name) => this.aliases.get(name) ?? name);
    const outputs = original.outputs.map((name, at) =>
      this.live.has(name) || keepsOutput(original, at) ? name : '',
    );
    const node: Node = { ...original, inputs, outputs };
    if (this.isPassThrough(node)) {
      this.passThrough(node);
      return;
    }
    const typeOnly = node.domain === '' ? TYPE_ONLY[node.operator] : undefined;
    if (inputs.every((name, i) => name === '' || i === typeOnly || this.constants.has(name))) {
      const known = inputs.map((name, i) =>
        i === typeOnly ? typed(this.typeOf(name)) : this.referenceOf(name),
      );
      const types = this.typesOf(definition, node, known);
      if (isWorthFolding(node, known, types) && this.allowance.take(types)) {
        this.remember(definition, node, known, types);
        return;
      }
    }
    this.keep(node);
  }

  /** Whether the node's only live output is its first input, unchanged. */
  private isPassThrough(node: Node): boolean {
    if (node.domain !== '' || (node.inputs[0] ?? '') === '') return false;
    if (node.outputs.some((output, i) => i > 0 && output !== '')) return false;
    if (node.operator === 'Identity') return !stopsGradient(node);
    if (node.operator !== 'Dropout') return false;
    const [ratio, training] = [node.inputs[1], node.inputs[2]].map((name) => this.numberOf(name));
    return (node.inputs[2] ?? '') === '' || training === 0 || ratio === 0;
  }

  private passThrough(node: Node): void {
    const [output, input] = [node.outputs[0]!, node.inputs[0]!];
    if (!this.outputs.has(output)) {
      this.aliases.set(output, input);
      return;
    }
    this.keep({
      ...node,
      operator: 'Identity',
      domain: '',
      inputs: [input],
      outputs: [output],
      attributes: {},
    });
  }

  /** Computes a node now; its outputs become constants. */
  private remember(
    definition: OperatorDefinition,
    node: Node,
    known: readonly (Reference | undefined)[],
    types: readonly TensorType[],
  ): void {
    definition.evaluate(node, known, types).forEach((value, i) => {
      const output = node.outputs[i];
      if (output) this.constants.set(output, fromReference(value));
    });
  }

  private keep(node: Node): void {
    for (const name of node.inputs) this.declare(name);
    try {
      const types = node.inputs.map((name) => (name === '' ? undefined : this.typeOf(name)));
      const { attributes } = withExplicitPads(node, types);
      const outputs = this.builder.add(node.operator, node.inputs, attributes, {
        name: node.name,
        domain: node.domain,
        outputs: node.outputs,
      });
      checkSizes(
        node,
        outputs.filter((output) => output !== '').map((output) => this.builder.typeOf(output)),
      );
    } catch (error) {
      throw this.explained(error, node);
    }
  }

  /** Adds a value that is known. */
  addConstant(name: string, tensor: Tensor): void {
    this.constants.set(name, tensor);
  }

  /** The type of a value that is bound; of an input that is omitted none. */
  boundType(name: string): TensorType {
    return this.typeOf(this.aliases.get(name) ?? name);
  }

  /** A value that is bound, where it is known before any data is seen. */
  knownValue(name: string): Reference | undefined {
    return this.referenceOf(this.aliases.get(name) ?? name);
  }

  private typesOf(
    definition: OperatorDefinition,
    node: Node,
    known: readonly (Reference | undefined)[],
  ): readonly TensorType[] {
    try {
      const types = definition.infer(node, known, known);
      checkSizes(node, types);
      const extra = node.outputs.findIndex((output, i) => output !== '' && i >= types.length);
      if (extra < 0) return types;
      throw new ShapeError(node, `has an output ${extra}; ${node.operator} gives ${types.length}`);
    } catch (error) {
      throw this.explained(error, node);
    }
  }

  private explained(error: unknown, node: Node): unknown {
    if (!(error instanceof ShapeError)) return error;
    const types = node.inputs.map((name) => (name === '' ? undefined : this.typeOf(name)));
    const known = node.inputs.map((name) => this.referenceOf(name));
    return explainShape(error, node, types, known, this.inputs);
  }

  /** An output that turned out to be known stays a value that a node computes: engines expect that. */
  private settleOutput(output: string): void {
    const value = this.constants.get(output);
    if (!value || this.builder.has(output)) return;
    const source = this.builder.constant(value);
    this.builder.add('Identity', [source], {}, { outputs: [output] });
  }

  /** Makes a known constant a value of the builder, on its first use. */
  private declare(name: string): void {
    const tensor = this.constants.get(name);
    if (tensor && !this.builder.has(name)) this.builder.constant(tensor, name);
  }

  private typeOf(name: string): TensorType {
    return this.constants.get(name) ?? this.builder.typeOf(name);
  }

  private referenceOf(name: string): Reference | undefined {
    const tensor = this.constants.get(name);
    if (!tensor) return undefined;
    let reference = this.references.get(name);
    if (!reference) {
      reference = toReference(tensor);
      this.references.set(name, reference);
    }
    return reference;
  }

  /** The value of a known scalar. */
  private numberOf(name: string | undefined): number | undefined {
    return name === undefined || name === '' ? undefined : this.referenceOf(name)?.data[0];
  }
}

/** Operators of which every output has its name: they have no optional ones, or state that nothing reads. */
const KEEPS_ALL: ReadonlySet<string> = new Set(['BatchNormalization', 'TopK']);
/** Operators whose first output may be left out as well. */
const NONE_REQUIRED: ReadonlySet<string> = new Set(['LSTM', 'GRU', 'RNN']);

/**
 * Whether an output is named although nothing in the graph reads it: an engine takes no node that leaves a required
 * output out, and the running statistics of BatchNormalization are wanted by whoever trains.
 */
function keepsOutput({ operator, domain }: Node, at: number): boolean {
  if (domain !== '') return false;
  return KEEPS_ALL.has(operator) || (at === 0 && !NONE_REQUIRED.has(operator));
}

/** A stand-in for a value of which only the type is looked at. */
function typed({ dtype, shape }: TensorType): Reference {
  return { dtype, shape, data: new Float64Array(0) };
}
