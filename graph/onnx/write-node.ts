import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { InvariantError, unreachable } from '../../base/index.js';
import { givenAttributes } from '../custom/node.js';
import { elementCode } from '../ir/element.js';
import type { Attributes, AttributeValue, Body, Node } from '../ir/graph.js';
import type { DataType, Dimension } from '../ir/tensor.js';
import { TYPE } from './attribute.js';
import {
  AttributeProtoSchema,
  GraphProtoSchema,
  NodeProtoSchema,
  ValueInfoProtoSchema,
  type AttributeProto,
  type GraphProto,
  type NodeProto,
  type ValueInfoProto,
} from './gen/onnx_pb.js';
import { writeTensor } from './tensor.js';

const utf8 = new TextEncoder();

export function writeNode(node: Node): NodeProto {
  return create(NodeProtoSchema, {
    name: node.name,
    opType: node.operator,
    ...(node.domain === '' ? {} : { domain: node.domain }),
    input: [...node.inputs],
    output: [...node.outputs],
    attribute: writeAttributes(givenAttributes(node.attributes)),
  });
}

export function writeValue(name: string, dtype: DataType, shape: readonly Dimension[]): ValueInfoProto {
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

function writeAttributes(attributes: Attributes): AttributeProto[] {
  return Object.entries(attributes).map(([name, value]) =>
    create(AttributeProtoSchema, { name, ...fields(value) }),
  );
}

function fields(value: AttributeValue): MessageInitShape<typeof AttributeProtoSchema> {
  switch (value.kind) {
    case 'float':
      return { type: TYPE.float, f: value.value };
    case 'int':
      return { type: TYPE.int, i: BigInt(value.value) };
    case 'string':
      return { type: TYPE.string, s: utf8.encode(value.value) };
    case 'tensor':
      return { type: TYPE.tensor, t: writeTensor('', value.value) };
    case 'floats':
      return { type: TYPE.floats, floats: [...value.value] };
    case 'ints':
      return { type: TYPE.ints, ints: value.value.map(BigInt) };
    case 'strings':
      return { type: TYPE.strings, strings: value.value.map((text) => utf8.encode(text)) };
    case 'body':
      return { type: TYPE.graph, g: writeBody(value.value) };
    case 'custom':
      throw new InvariantError('the definition of an operator is no attribute of a file');
    default:
      return unreachable(value);
  }
}

function writeBody({ name, inputs, outputs, nodes }: Body): GraphProto {
  return create(GraphProtoSchema, {
    name,
    input: inputs.map((input) => ({ name: input })),
    output: outputs.map(({ name: output, declared }) =>
      declared ? writeValue(output, declared.dtype, declared.shape) : { name: output },
    ),
    node: nodes.map(writeNode),
  });
}
