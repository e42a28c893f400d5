import { create, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { elementCode } from '../ir/element.js';
import { IR_OPSET, type Graph, type Node, type TypedGraph } from '../ir/graph.js';
import type { DataType, Dimension, Tensor } from '../ir/tensor.js';
import { version } from '../../base/index.js';
import { writeAttributes } from './attribute.js';
import {
  ModelProtoSchema,
  NodeProtoSchema,
  ValueInfoProtoSchema,
  type ModelProto,
  type NodeProto,
  StringStringEntryProtoSchema,
  type TensorProto,
  type ValueInfoProto,
} from './gen/onnx_pb.js';
import { writeTensor } from './tensor.js';
import { KIND_KEY, type Kind } from './trainable.js';

/** The file format's version that goes with IR_OPSET. */
const IR_VERSION = 10n;

/** A forward graph as an ONNX model: parameters and constants are initializers, symbols are dim_params. */
export function writeGraph(graph: Graph): Uint8Array {
  const outputs = graph.outputs.map(({ name }) => name);
  return encode({
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
  return encode({
    name: typed.name,
    input: [...typed.inputs, ...typed.parameters.keys()].map(value),
    output: typed.outputs.map(value),
    initializer: initializers(typed.constants, 'CONSTANT_TENSOR', typed.nodes, typed.outputs),
    node: typed.nodes.map(writeNode),
  });
}

function encode(graph: MessageInitShape<typeof ModelProtoSchema>['graph'] & object): Uint8Array {
  const model: ModelProto = create(ModelProtoSchema, {
    irVersion: IR_VERSION,
    producerName: 'dtrain',
    producerVersion: version,
    opsetImport: [{ domain: '', version: BigInt(IR_OPSET) }],
    graph,
  });
  return toBinary(ModelProtoSchema, model);
}

function writeNode(node: Node): NodeProto {
  return create(NodeProtoSchema, {
    name: node.name,
    opType: node.operator,
    ...(node.domain === '' ? {} : { domain: node.domain }),
    input: [...node.inputs],
    output: [...node.outputs],
    attribute: writeAttributes(node.attributes),
  });
}

function writeValue(name: string, dtype: DataType, shape: readonly Dimension[]): ValueInfoProto {
  const dim = shape.map((length) => ({
    value:
      typeof length === 'number'
        ? { case: 'dimValue' as const, value: BigInt(length) }
        : { case: 'dimParam' as const, value: length },
  }));
  return create(ValueInfoProtoSchema, {
    name,
    type: { tensorType: { elemType: elementCode(dtype), shape: { dim } } },
  });
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
  const used = new Set([...outputs, ...nodes.flatMap((node) => node.inputs)]);
  const metadataProps = [create(StringStringEntryProtoSchema, { key: KIND_KEY, value: kind })];
  return [...tensors]
    .filter(([name]) => used.has(name))
    .map(([name, tensor]) => ({ ...writeTensor(name, tensor), metadataProps }));
}
