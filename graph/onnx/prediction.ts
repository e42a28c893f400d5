import { create } from '@bufbuild/protobuf';
import { NodeProtoSchema, type NodeProto } from './gen/onnx_pb.js';

/**
 * Nodes of a file as they predict, bodies of branches and loops among them: Dropout drops nothing, BatchNormalization
 * uses its running statistics.
 * @param outputs of the graph or function that holds the nodes
 */
export function forPrediction(nodes: readonly NodeProto[], outputs: readonly string[]): NodeProto[] {
  const used = new Set([...outputs, ...namesReadBy(nodes)]);
  return nodes.flatMap((node) => {
    if (isOnnx(node, 'Dropout')) return [{ ...node, input: node.input.slice(0, 2) }];
    if (isOnnx(node, 'BatchNormalization')) return inferenceForm(node, used);
    return [withBodies(node)];
  });
}

/**
 * One output, which is what makes it inference before opset 14; from then on `training_mode` does, whose default that
 * is. Outputs 1 and 2, the updated running statistics, are those that it was given.
 */
function inferenceForm(node: NodeProto, used: ReadonlySet<string>): NodeProto[] {
  const passed = [1, 2].filter((at) => used.has(node.output[at] ?? ''));
  return [
    {
      ...node,
      output: node.output.slice(0, 1),
      attribute: node.attribute.filter(({ name }) => name !== 'training_mode'),
    },
    ...passed.map((at) =>
      create(NodeProtoSchema, {
        opType: 'Identity',
        input: [node.input[at + 2]!],
        output: [node.output[at]!],
      }),
    ),
  ];
}

function withBodies(node: NodeProto): NodeProto {
  if (node.attribute.every(({ g }) => g === undefined)) return node;
  const attribute = node.attribute.map((each) => {
    if (!each.g) return each;
    const outputs = each.g.output.map(({ name }) => name ?? '');
    return { ...each, g: { ...each.g, node: forPrediction(each.g.node, outputs) } };
  });
  return { ...node, attribute };
}

/** What nodes and their bodies read. */
function* namesReadBy(nodes: readonly NodeProto[]): Generator<string> {
  for (const { input, attribute } of nodes) {
    yield* input.filter((name) => name !== '');
    for (const { g } of attribute)
      if (g) yield* [...namesReadBy(g.node), ...g.output.map((o) => o.name ?? '')];
  }
}

function isOnnx({ opType, domain = '' }: NodeProto, operator: string): boolean {
  return opType === operator && (domain === '' || domain === 'ai.onnx');
}
