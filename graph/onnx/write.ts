import { create, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { version } from '../../base/index.js';
import { outline, readsOf } from '../ir/body.js';
import type { Graph, Node, TypedGraph } from '../ir/graph.js';
import type { Tensor } from '../ir/tensor.js';
import {
  ModelProtoSchema,
  type ModelProto,
  StringStringEntryProtoSchema,
  type TensorProto,
  type ValueInfoProto,
} from './gen/onnx_pb.js';
import { opsetsOf } from './opsets.js';
import { writeTensor } from './tensor.js';
import { KIND_KEY, type Kind } from './pytorch.js';
import { operatorMetadata } from './custom.js';
import { writeNode, writeValue } from './write-node.js';

/** The file format's version that goes with IR_OPSET. */
const IR_VERSION = 10n;

/** A forward graph as an ONNX model: parameters and constants are initializers, symbols are dim_params. */
export function writeGraph(graph: Graph): Uint8Array {
  const outputs = graph.outputs.map(({ name }) => name);
  return encode(graph.nodes, {
    name: graph.name,
    input: graph.inputs.map(({ name, dtype, shape }) => writeValue(name, dtype, shape)),
    output: graph.outputs.map(({ name, dtype, shape }) => writeValue(name, dtype, shape)),
    initializer: [
      ...initializers(graph.parameters, 'PARAMETER', graph.nodes, outputs),
      ...initializers(graph.constants, 'CONSTANT_TENSOR', graph.nodes, outputs),
    ],
    node: graph.nodes.map(writeNode),
  });
}

/**
 * A typed graph as an ONNX model for an engine: inputs first, then parameters, all as graph inputs with their
 * full shapes; constants that are used as initializers.
 */
export function writeTypedGraph(typed: TypedGraph): Uint8Array {
  const value = (name: string): ValueInfoProto => {
    const { dtype, shape } = typed.types.get(name)!;
    return writeValue(name, dtype, shape);
  };
  return encode(typed.nodes, {
    name: typed.name,
    input: [...typed.inputs, ...typed.parameters.keys()].map(value),
    output: typed.outputs.map(value),
    initializer: initializers(typed.constants, 'CONSTANT_TENSOR', typed.nodes, typed.outputs),
    node: typed.nodes.map(writeNode),
  });
}

function encode(
  nodes: readonly Node[],
  graph: MessageInitShape<typeof ModelProtoSchema>['graph'] & object,
): Uint8Array {
  const model: ModelProto = create(ModelProtoSchema, {
    irVersion: IR_VERSION,
    producerName: 'dtrain',
    producerVersion: version,
    opsetImport: opsetsOf(outline(nodes)),
    metadataProps: operatorMetadata(outline(nodes)),
    graph,
  });
  return toBinary(ModelProtoSchema, model);
}

/**
 * The tensors that a node or an output names (runtimes warn of others), each with a note of what it is: a file
 * that dtrain wrote is read again with the same parameters.
 */
function initializers(
  tensors: ReadonlyMap<string, Tensor>,
  kind: Kind,
  nodes: readonly Node[],
  outputs: readonly string[],
): TensorProto[] {
  const used = new Set([...outputs, ...nodes.flatMap(readsOf)]);
  const metadataProps = [create(StringStringEntryProtoSchema, { key: KIND_KEY, value: kind })];
  return [...tensors]
    .filter(([name]) => used.has(name))
    .map(([name, tensor]) => ({ ...writeTensor(name, tensor), metadataProps }));
}
