import { attribute, type Attributes, type Body, type Graph, type Node } from '../../ir/graph.js';
import { NameSpace } from '../../ir/names.js';
import { int64s, type Tensor, type TensorType } from '../../ir/tensor.js';
import type { OperatorRegistry, Reference } from '../../operators/index.js';
import type { Binder } from '../binder.js';
import { definitionsOf, liveValues } from '../live.js';
import { Frame } from './frame.js';
import { splitReads } from './reads.js';
import { cannotUnroll } from './refuse.js';

/** Nodes of a graph once its loops are written out, at most; a run of a body counts as one more. */
export const MOST_UNROLLED = 100_000;

/** Writes one node out: the names of its inputs are those of the new graph. */
export type Expansion = (unroller: Unroller, node: Node, frame: Frame) => void;

/**
 * Writes a graph without branches, loops and lists of tensors, node by node, binding each as it is written: what a
 * loop needs to know (how often, whether it goes on) is known by then if it ever is.
 */
export class Unroller {
  /** Lists of tensors: the values in each. They exist while a graph is written out, and nowhere else. */
  readonly sequences = new Map<string, readonly string[]>();
  private readonly nodes: Node[] = [];
  private readonly constants = new Map<string, Tensor>();
  private readonly values: NameSpace;
  private readonly nodeNames: NameSpace;
  private readonly checked = new Set<Body>();
  private left = MOST_UNROLLED;
  /** The node of the graph that is being written. */
  private outermost?: Node;

  /**
   * @param binder binds what is written; it must want every value
   * @param expansionOf how a node is written out; undefined where it stays
   */
  constructor(
    private readonly graph: Graph,
    private readonly operators: OperatorRegistry,
    private readonly binder: Binder,
    private readonly expansionOf: (node: Node) => Expansion | undefined,
  ) {
    this.values = new NameSpace([
      ...graph.inputs.map(({ name }) => name),
      ...graph.parameters.keys(),
      ...graph.constants.keys(),
      ...graph.nodes.flatMap(({ outputs }) => outputs),
    ]);
    this.nodeNames = new NameSpace(graph.nodes.map(({ name }) => name));
  }

  /** @throws ModelError where something cannot be written out; UnsupportedOperatorError, ShapeError */
  unroll(): Graph {
    const live = liveValues(this.graph);
    const nodes = this.graph.nodes.filter(({ outputs }) => outputs.some((output) => live.has(output)));
    this.checkDefinitions(nodes);
    const frame = Frame.outermost();
    for (const node of nodes) {
      this.outermost = node;
      this.write(node, frame);
    }
    const list = this.graph.outputs.find(({ name }) => this.sequences.has(name));
    if (list) {
      const node = nodes.find(({ outputs }) => outputs.includes(list.name))!;
      throw cannotUnroll(
        node,
        `the model's output "${list.name}" is a list of tensors`,
        'Return its tensors one by one, or stacked into one',
      );
    }
    const { nodes: written, constants } = splitReads(this.nodes, {
      typeOf: (value) => this.typeOf(value),
      knownValue: (value) => this.knownValue(value),
      values: this.values,
      nodes: this.nodeNames,
    });
    return {
      ...this.graph,
      nodes: written,
      constants: new Map([...this.graph.constants, ...this.constants, ...constants]),
    };
  }

  /** Writes the nodes of a body once, in a frame that has its inputs; returns the values of its outputs. */
  run(body: Body, inputs: readonly string[], path: string, around: Frame, by: Node): readonly string[] {
    this.spend(1, by);
    if (!this.checked.has(body)) {
      this.checked.add(body);
      this.checkDefinitions(body.nodes);
    }
    const frame = around.within(path);
    body.inputs.forEach((name, i) => frame.set(name, inputs[i] ?? ''));
    for (const node of body.nodes) this.write(node, frame);
    return body.outputs.map(({ name }) => frame.find(name));
  }

  /** Says that an output of a node is a value that there is already. */
  assign(node: Node, output: number, value: string, frame: Frame): void {
    const name = node.outputs[output] ?? '';
    if (name === '') return;
    if (value === '') throw cannotUnroll(node, `its output "${name}" is an omitted input`, 'Give that input');
    const list = this.sequences.get(value);
    if (!frame.isOutermost) frame.set(name, value);
    else if (list) this.sequences.set(name, list);
    else this.emit({ ...plain('Identity', [value]), name: this.nodeName(node, ''), outputs: [name] }, node);
  }

  /** Says that an output of a node is a list. */
  assignList(node: Node, output: number, list: readonly string[], frame: Frame): void {
    const name = this.values.fresh(`${node.name}.list`);
    this.sequences.set(name, list);
    this.assign(node, output, name, frame);
  }

  /** Writes a plain node for `by` and returns its outputs. */
  add(
    by: Node,
    operator: string,
    inputs: readonly string[],
    attributes: Attributes = {},
    count = 1,
  ): readonly string[] {
    const outputs = Array.from({ length: count }, () => this.values.within(by.name, operator));
    this.emit({ ...plain(operator, inputs, attributes), name: this.nodeName(by, operator), outputs }, by);
    return outputs;
  }

  /** A known value. */
  constant(by: Node, hint: string, tensor: Tensor): string {
    const name = this.values.within(by.name, hint);
    this.constants.set(name, tensor);
    this.binder.addConstant(name, tensor);
    return name;
  }

  /** The values side by side along a new axis. */
  stack(by: Node, values: readonly string[], axis: number): string {
    const axes = this.constant(by, 'axes', int64s([axis]));
    const rows = values.map((value) => this.add(by, 'Unsqueeze', [value, axes])[0]!);
    return this.add(by, 'Concat', rows, { axis: attribute.int(axis) })[0]!;
  }

  /** The slices of a value along an axis, without that axis. One Split, so that its gradient is one Concat. */
  slices(by: Node, value: string, axis: number, length: number): readonly string[] {
    const axes = this.constant(by, 'axes', int64s([axis]));
    return this.split(by, value, axis, new Array<number>(length).fill(1)).map(
      (part) => this.add(by, 'Squeeze', [part, axes])[0]!,
    );
  }

  split(by: Node, value: string, axis: number, lengths: readonly number[]): readonly string[] {
    this.spend(lengths.length, by);
    const sizes = this.constant(by, 'sizes', int64s(lengths));
    return this.add(by, 'Split', [value, sizes], { axis: attribute.int(axis) }, lengths.length);
  }

  typeOf(value: string): TensorType {
    return this.binder.boundType(value);
  }

  knownValue(value: string): Reference | undefined {
    return this.sequences.has(value) ? undefined : this.binder.knownValue(value);
  }

  /** The number in a known value of one element. */
  knownNumber(value: string): number | undefined {
    const known = this.knownValue(value);
    return known?.data.length === 1 ? known.data[0] : undefined;
  }

  /** How many nodes may still be written. */
  get remaining(): number {
    return this.left;
  }

  /** @throws ModelError where a loop makes the graph too large */
  spend(nodes: number, by: Node): void {
    this.left -= nodes;
    if (this.left >= 0) return;
    throw cannotUnroll(
      this.outermost ?? by,
      `the graph would have more than ${MOST_UNROLLED} nodes`,
      'Train on shorter sequences, or export recurrent layers as LSTM, GRU or RNN nodes',
    );
  }

  private write(original: Node, frame: Frame): void {
    const node: Node = {
      ...original,
      name: frame.isOutermost ? original.name : this.nodeNames.within(frame.path, original.name),
      inputs: original.inputs.map((input) => frame.find(input)),
    };
    const expand = this.expansionOf(node);
    if (expand) {
      expand(this, node, frame);
      return;
    }
    if (node.operator === 'Identity' && this.sequences.has(node.inputs[0] ?? '')) {
      this.assign(node, 0, node.inputs[0]!, frame);
      return;
    }
    const list = node.inputs.find((input) => this.sequences.has(input));
    if (list !== undefined) {
      throw cannotUnroll(
        node,
        'it reads a list of tensors',
        'Only ConcatFromSequence, SequenceAt and other Sequence operators can: stack the list before it is used',
      );
    }
    const outputs = node.outputs.map((output) => {
      if (output === '' || frame.isOutermost) return output;
      const value = this.values.within(frame.path, output);
      frame.set(output, value);
      return value;
    });
    this.emit({ ...node, outputs }, node);
  }

  private emit(node: Node, by: Node): void {
    this.spend(1, by);
    const [definition] = definitionsOf([node], this.operators);
    this.nodes.push(node);
    this.binder.bindNode(node, definition!);
  }

  private nodeName(by: Node, operator: string): string {
    return operator === '' ? this.nodeNames.fresh(by.name) : this.nodeNames.within(by.name, operator);
  }

  private checkDefinitions(nodes: readonly Node[]): void {
    definitionsOf(
      nodes.filter((node) => !this.expansionOf(node)),
      this.operators,
    );
  }
}

function plain(
  operator: string,
  inputs: readonly string[],
  attributes: Attributes = {},
): Omit<Node, 'name' | 'outputs'> {
  return { operator, domain: '', inputs, attributes };
}
