import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { unreachable } from '../../base/index.js';
import type { Attributes, AttributeValue } from '../ir/graph.js';
import { modelError, type Place } from './fail.js';
import { AttributeProtoSchema, type AttributeProto, type NodeProto } from './gen/onnx_pb.js';
import { readTensor, writeTensor } from './tensor.js';

/** AttributeProto.AttributeType */
const TYPE = { float: 1, int: 2, string: 3, tensor: 4, graph: 5, floats: 6, ints: 7, strings: 8 } as const;

const utf8 = { decode: new TextDecoder(), encode: new TextEncoder() };

/**
 * A node's attributes by name.
 * @throws ModelError for a kind the IR lacks (bodies of loops and branches, sparse tensors), or a name twice
 */
export function readAttributes(node: NodeProto, place: Place): Attributes {
  const attributes = new Map<string, AttributeValue>();
  for (const proto of node.attribute) {
    const name = proto.name ?? '';
    if (attributes.has(name))
      throw modelError(place, `node "${place.node ?? ''}" has the attribute "${name}" twice`);
    attributes.set(name, readAttribute(proto, name, place));
  }
  return Object.fromEntries(attributes);
}

function readAttribute(proto: AttributeProto, name: string, place: Place): AttributeValue {
  const what = `attribute "${name}" of node "${place.node ?? ''}"`;
  switch (proto.type ?? guessType(proto)) {
    case TYPE.float:
      return { kind: 'float', value: proto.f ?? 0 };
    case TYPE.int:
      return { kind: 'int', value: Number(proto.i ?? 0n) };
    case TYPE.string:
      return { kind: 'string', value: utf8.decode.decode(proto.s ?? new Uint8Array()) };
    case TYPE.tensor:
      if (!proto.t) throw modelError(place, `${what} is a tensor without a value`);
      return { kind: 'tensor', value: readTensor(proto.t, place) };
    case TYPE.floats:
      return { kind: 'floats', value: proto.floats };
    case TYPE.ints:
      return { kind: 'ints', value: proto.ints.map(Number) };
    case TYPE.strings:
      return { kind: 'strings', value: proto.strings.map((bytes) => utf8.decode.decode(bytes)) };
    default:
      throw modelError(
        place,
        `${what} has a kind that dtrain does not read (${proto.type ?? 0}); numbers, strings, tensors and lists of them would be accepted`,
      );
  }
}

/** Files of IR version 1 do not say the type: it is that of the field which is there. */
function guessType(proto: AttributeProto): number {
  if (proto.f !== undefined) return TYPE.float;
  if (proto.i !== undefined) return TYPE.int;
  if (proto.s !== undefined) return TYPE.string;
  if (proto.t !== undefined) return TYPE.tensor;
  if (proto.floats.length > 0) return TYPE.floats;
  if (proto.ints.length > 0) return TYPE.ints;
  return proto.strings.length > 0 ? TYPE.strings : 0;
}

export function writeAttributes(attributes: Attributes): AttributeProto[] {
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
      return { type: TYPE.string, s: utf8.encode.encode(value.value) };
    case 'tensor':
      return { type: TYPE.tensor, t: writeTensor('', value.value) };
    case 'floats':
      return { type: TYPE.floats, floats: [...value.value] };
    case 'ints':
      return { type: TYPE.ints, ints: value.value.map(BigInt) };
    case 'strings':
      return { type: TYPE.strings, strings: value.value.map((text) => utf8.encode.encode(text)) };
    default:
      return unreachable(value);
  }
}
