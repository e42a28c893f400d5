import type { AttributeValue, Node, TypedGraph } from '../ir/graph.js';
import { bytesOf } from '../ir/tensor.js';

/** Operators that give something else each time. */
const RANDOM: ReadonlySet<string> = new Set([
  ...['RandomNormal', 'RandomUniform', 'RandomNormalLike', 'RandomUniformLike', 'Multinomial', 'Bernoulli'],
  'Dropout',
]);

/** Larger constants (elements) are not compared. */
const LARGEST_MERGED_CONSTANT = 4096;

/**
 * Computes equal expressions once: a node with the operator, inputs and attributes of an earlier one gives way
 * to it. `outputs[i]` keeps its value, though perhaps not its name.
 */
export function mergeCommonSubexpressions(typed: TypedGraph): TypedGraph {
  const first = new Map<string, Node>();
  const renamed = new Map<string, string>();
  const current = (value: string) => renamed.get(value) ?? value;
  const nodes: Node[] = [];
  mergeConstants(typed, renamed);
  for (const original of typed.nodes) {
    const inputs = original.inputs.map(current);
    const node = inputs.every((input, i) => input === original.inputs[i])
      ? original
      : { ...original, inputs };
    const key = RANDOM.has(node.operator) ? undefined : keyOf(node);
    const earlier = key === undefined ? undefined : first.get(key);
    if (earlier) {
      node.outputs.forEach((output, i) => {
        if (output !== '') renamed.set(output, earlier.outputs[i]!);
      });
      continue;
    }
    if (key !== undefined) first.set(key, node);
    nodes.push(node);
  }
  const types = new Map([...typed.types].filter(([name]) => !renamed.has(name)));
  const constants = new Map([...typed.constants].filter(([name]) => !renamed.has(name)));
  return { ...typed, nodes, outputs: typed.outputs.map(current), types, constants };
}

/** Small constants of equal value get one name. */
function mergeConstants(typed: TypedGraph, renamed: Map<string, string>): void {
  const outputs = new Set(typed.outputs);
  const first = new Map<string, string>();
  for (const [name, tensor] of typed.constants) {
    if (tensor.data.length > LARGEST_MERGED_CONSTANT || outputs.has(name)) continue;
    const key = keyOfAttribute({ kind: 'tensor', value: tensor });
    const earlier = first.get(key);
    if (earlier === undefined) first.set(key, name);
    else renamed.set(name, earlier);
  }
}

/** Equal keys mean equal values; nodes that differ in which outputs they give are not merged. */
function keyOf(node: Node): string {
  const attributes = Object.entries(node.attributes)
    .map(([name, value]) => `${name}=${keyOfAttribute(value)}`)
    .sort();
  const given = node.outputs.map((output) => (output === '' ? '0' : '1')).join('');
  return JSON.stringify([node.domain, node.operator, node.inputs, attributes, given]);
}

function keyOfAttribute(attribute: AttributeValue): string {
  // one model has one definition for a domain and a name
  if (attribute.kind === 'custom') return attribute.kind;
  if (attribute.kind !== 'tensor') return `${attribute.kind}:${JSON.stringify(attribute.value)}`;
  const { dtype, shape } = attribute.value;
  return `tensor:${dtype}[${shape.join(',')}]:${Buffer.from(bytesOf(attribute.value)).toString('base64')}`;
}
