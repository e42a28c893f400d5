import type { Formula } from '../formula/index.js';
import { floatAttribute, intAttribute, type Node } from '../ir/graph.js';
import { sizeOf } from '../ir/tensor.js';
import { toReference } from '../reference/value.js';

/** Sums over rows of larger matrices (elements) are not put below one another. */
const LARGEST_STACKED_ROWS = 65_536;

/**
 * Sums the gradients that reach a value from its uses.
 *
 * Most are added as they arrive, so that few are held at a time. Products over few rows wait instead: a weight
 * used at every step of a sequence gets sum_t A_t' B_t, which is one product of the A_t and of the B_t below one
 * another: a step of a two-layer bidirectional LSTM (hidden 128, batch 32, 64 steps) takes 8% less in onnxruntime.
 * So do sums over rows, a bias's gradient. The nodes that waited are then dead code.
 */
export class Contributions {
  private readonly sums: Map<string, string>;
  /** By value, then by form: nodes whose operands go below one another. */
  private readonly waiting = new Map<string, Map<string, Node[]>>();

  /** @param seeds gradients that are there before the first use is visited */
  constructor(
    private readonly f: Formula,
    seeds: ReadonlyMap<string, string>,
  ) {
    this.sums = new Map(seeds);
  }

  has(value: string): boolean {
    return this.sums.has(value) || this.waiting.has(value);
  }

  /** Adds what one use of `value` gives. */
  add(value: string, gradient: string): void {
    const node = this.f.builder.producerOf(gradient);
    const form = node && stackedForm(this.f, node);
    if (!node || form === undefined) {
      this.addNow(value, gradient);
      return;
    }
    let forms = this.waiting.get(value);
    if (!forms) this.waiting.set(value, (forms = new Map<string, Node[]>()));
    const nodes = forms.get(form);
    if (nodes) nodes.push(node);
    else forms.set(form, [node]);
  }

  /** The gradient of `value`, once all its uses have been visited; undefined where none has one. */
  total(value: string): string | undefined {
    for (const nodes of this.waiting.get(value)?.values() ?? []) {
      // the walk goes backwards: with the first step first, the stack is often one that the backward pass has anyway
      this.addNow(value, stack(this.f, nodes.toReversed()));
    }
    this.waiting.delete(value);
    return this.sums.get(value);
  }

  private addNow(value: string, gradient: string): void {
    const earlier = this.sums.get(value);
    this.sums.set(value, earlier === undefined ? gradient : this.f.add(earlier, gradient));
  }
}

/**
 * Equal for nodes whose sum is one node of the same kind over stacked operands, where that moves fewer numbers
 * than adding the results does.
 */
function stackedForm(f: Formula, node: Node): string | undefined {
  if (node.domain !== '') return undefined;
  if (node.operator === 'Gemm' && node.inputs.length === 2) {
    const [m, n] = f.shapeOf(node.outputs[0]!) as [number, number];
    const inner = f.shapeOf(node.inputs[0]!)[1 - rowAxis(node, 'transA')]!;
    if (2 * inner * (m + n) > 3 * m * n) return undefined;
    return `Gemm ${intAttribute(node, 'transA', 0)} ${intAttribute(node, 'transB', 0)} ${floatAttribute(node, 'alpha', 1)}`;
  }
  if (node.operator === 'ReduceSum' && intAttribute(node, 'keepdims', 1) === 0) {
    const shape = f.shapeOf(node.inputs[0]!);
    const axes = f.builder.constantOf(node.inputs[1] ?? '');
    if (shape.length !== 2 || !axes || sizeOf(shape) > LARGEST_STACKED_ROWS) return undefined;
    const [axis, ...more] = toReference(axes).data;
    return axis === 0 && more.length === 0 ? 'ReduceSum' : undefined;
  }
  return undefined;
}

/** The sum of nodes of one form, as one node. */
function stack(f: Formula, nodes: readonly Node[]): string {
  const [first] = nodes as [Node];
  if (nodes.length === 1) return first.outputs[0]!;
  const operand = (at: number, axis: number) =>
    f.concat(
      nodes.map((node) => node.inputs[at]!),
      axis,
    );
  if (first.operator === 'ReduceSum') return f.sum(operand(0, 0), [0], false);
  const [left, right] = [operand(0, 1 - rowAxis(first, 'transA')), operand(1, rowAxis(first, 'transB'))];
  return f.one('Gemm', [left, right], first.attributes);
}

/** The axis of a Gemm's operand that is the row after the transposition asked for. */
function rowAxis(node: Node, transposed: 'transA' | 'transB'): number {
  return intAttribute(node, transposed, 0) === 0 ? 0 : 1;
}
