import { InvariantError } from '../../base/index.js';
import { ShapeError, UnsupportedOperatorError } from '../errors.js';
import { toReference } from '../reference/value.js';
import type { OperatorRegistry, Reference } from '../operators/index.js';
import type { Attributes, Node, TypedGraph } from './graph.js';
import { sameShape, type Tensor, type TensorType } from './tensor.js';

/** Larger constants are not looked at by type rules: only shapes, axes and the like are. */
const LARGEST_SHAPE_CONSTANT = 4096;

/**
 * Grows a typed graph node by node; each node's types are inferred as it is added, so whoever builds
 * (the binder, a gradient rule, a pass) can ask for the type of anything.
 *
 * Guarantees: names are unique; nodes are in the order added, which is topological because an input must
 * exist before it is used.
 */
export class GraphBuilder {
  private readonly inputs: string[] = [];
  private readonly nodes: Node[] = [];
  private readonly parameters = new Map<string, TensorType>();
  private readonly constants = new Map<string, Tensor>();
  private readonly types = new Map<string, TensorType>();
  private readonly producers = new Map<string, Node>();
  private readonly references = new Map<string, Reference>();
  private readonly smallConstants = new Map<string, string>();
  private readonly nodeNames = new Set<string>();
  private counter = 0;
  /** What nodes without a name of their own are named after. */
  private origin = '';

  constructor(
    private readonly operators: OperatorRegistry,
    start?: TypedGraph,
  ) {
    if (!start) return;
    this.inputs.push(...start.inputs);
    this.nodes.push(...start.nodes);
    for (const node of start.nodes) this.register(node);
    for (const [name, type] of start.parameters) this.parameters.set(name, type);
    for (const [name, tensor] of start.constants) this.constants.set(name, tensor);
    for (const [name, type] of start.types) this.types.set(name, type);
  }

  /** Declares an input of the graph. */
  input(name: string, type: TensorType): string {
    this.declare(name, type);
    this.inputs.push(name);
    return name;
  }

  parameter(name: string, type: TensorType): string {
    this.declare(name, type);
    this.parameters.set(name, type);
    return name;
  }

  /** Adds a constant; small ones with the same value share a name. */
  constant(tensor: Tensor, name?: string): string {
    if (name === undefined && tensor.data.length <= 64) {
      const key = `${tensor.dtype}[${tensor.shape.join(',')}]:${tensor.data.join(',')}`;
      const known = this.smallConstants.get(key);
      if (known !== undefined) return known;
      const fresh = this.freshName('const');
      this.smallConstants.set(key, fresh);
      return this.constant(tensor, fresh);
    }
    const chosen = name ?? this.freshName('const');
    this.declare(chosen, { dtype: tensor.dtype, shape: tensor.shape });
    this.constants.set(chosen, tensor);
    return chosen;
  }

  /**
   * Adds a node and returns the names of its outputs.
   * @param options.outputs the outputs' names, or how many to make (default 1)
   * @throws UnsupportedOperatorError, ShapeError
   */
  add(
    operator: string,
    inputs: readonly string[],
    attributes: Attributes = {},
    options: {
      readonly name?: string;
      readonly domain?: string;
      readonly outputs?: number | readonly string[];
    } = {},
  ): string[] {
    const name = this.freshNodeName(options.name ?? nodeName(this.origin, operator));
    const domain = options.domain ?? '';
    const asked = options.outputs ?? 1;
    const outputs =
      typeof asked === 'number' ? Array.from({ length: asked }, () => this.freshName(operator)) : [...asked];
    const node: Node = { name, operator, domain, inputs: trimOmitted(inputs), outputs, attributes };
    const definition = this.operators.find(node);
    if (!definition) throw new UnsupportedOperatorError([{ operator, nodes: [name] }], 'definition');
    const types = definition.infer(
      node,
      node.inputs.map((input) => (input === '' ? undefined : this.typeOf(input))),
      node.inputs.map((input) => (input === '' ? undefined : this.referenceOf(input))),
    );
    outputs.forEach((output, i) => {
      const type = types[i];
      if (output === '') return;
      if (!type) throw new ShapeError(node, `has an output ${i}; ${operator} gives ${types.length}`);
      this.declare(output, type);
    });
    this.nodes.push(node);
    this.register(node);
    return outputs;
  }

  /** `add` for a node with a single output. */
  one(operator: string, inputs: readonly string[], attributes: Attributes = {}, name?: string): string {
    return this.add(operator, inputs, attributes, name === undefined ? {} : { name })[0]!;
  }

  /**
   * Names the nodes that `write` adds after what they are written for: `conv1/grad/Transpose`. Whoever reads a name of
   * a lowered or differentiated graph sees which node of the model it comes from; see `originOf`.
   */
  within<T>(origin: string, write: () => T): T {
    const before = this.origin;
    this.origin = origin;
    try {
      return write();
    } finally {
      this.origin = before;
    }
  }

  has(value: string): boolean {
    return this.types.has(value);
  }

  typeOf(value: string): TensorType {
    const type = this.types.get(value);
    if (!type) throw new InvariantError(`value "${value}" is used before it is defined`);
    return type;
  }

  shapeOf(value: string): readonly number[] {
    return this.typeOf(value).shape;
  }

  /** The value where it is a constant. */
  constantOf(value: string): Tensor | undefined {
    return this.constants.get(value);
  }

  /** The node that computes the value; undefined for inputs, parameters and constants. */
  producerOf(value: string): Node | undefined {
    return this.producers.get(value);
  }

  /** A name that nothing in the graph has yet. */
  freshName(hint: string): string {
    let name: string;
    do name = `${hint}_${this.counter++}`;
    while (this.types.has(name));
    return name;
  }

  /** The graph so far. Nothing is removed: see graph/passes for dead code. */
  build(name: string, outputs: readonly string[]): TypedGraph {
    for (const output of outputs) this.typeOf(output);
    return {
      name,
      inputs: [...this.inputs],
      outputs: [...outputs],
      nodes: [...this.nodes],
      parameters: new Map(this.parameters),
      constants: new Map(this.constants),
      types: new Map(this.types),
    };
  }

  private register(node: Node): void {
    this.nodeNames.add(node.name);
    for (const output of node.outputs) if (output !== '') this.producers.set(output, node);
  }

  private declare(name: string, type: TensorType): void {
    const known = this.types.get(name);
    if (known) {
      const same = known.dtype === type.dtype && sameShape(known.shape, type.shape);
      throw new InvariantError(`value "${name}" is defined twice${same ? '' : ' with different types'}`);
    }
    this.types.set(name, type);
  }

  private referenceOf(value: string): Reference | undefined {
    const tensor = this.constants.get(value);
    if (!tensor || tensor.data.length > LARGEST_SHAPE_CONSTANT) return undefined;
    let reference = this.references.get(value);
    if (!reference) {
      reference = toReference(tensor);
      this.references.set(value, reference);
    }
    return reference;
  }

  private freshNodeName(hint: string): string {
    let name = hint;
    while (this.nodeNames.has(name)) name = `${hint}_${this.counter++}`;
    this.nodeNames.add(name);
    return name;
  }
}

const nodeName = (origin: string, operator: string): string =>
  origin === '' ? operator : `${origin}/${operator}`;

/** Drops omitted inputs at the end, so that equal nodes look equal. */
function trimOmitted(inputs: readonly string[]): readonly string[] {
  let length = inputs.length;
  while (length > 0 && inputs[length - 1] === '') length--;
  return inputs.slice(0, length);
}
