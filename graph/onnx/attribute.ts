import type { AttributeValue, Attributes, Body } from '../ir/graph.js';
import { modelError, type Place } from './fail.js';
import type { AttributeProto, GraphProto } from './gen/onnx_pb.js';
import { checkText } from './text.js';
import { readTensor } from './tensor.js';

/** AttributeProto.AttributeType */
export const TYPE = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
} as const;

const utf8 = new TextDecoder();

/** The attributes of a function's call by name; undefined outside of functions. */
export type CallAttributes = ReadonlyMap<string, AttributeProto> | undefined;

/**
 * A node's attributes by name, as the file has them: a reference in a function is what the call gives, the function's
 * default, or absent.
 * @throws ModelError for a name twice, a reference outside of a function or to another kind
 */
export function resolveAttributes(
  protos: readonly AttributeProto[],
  call: CallAttributes,
  place: Place,
): ReadonlyMap<string, AttributeProto> {
  const attributes = new Map<string, AttributeProto>();
  const seen = new Set<string>();
  for (const proto of protos) {
    const name = proto.name ?? '';
    if (seen.has(name))
      throw modelError(place, `node "${place.node ?? ''}" has the attribute "${name}" twice`);
    seen.add(name);
    const value = referred(proto, name, call, place);
    if (value) attributes.set(name, value);
  }
  return attributes;
}

function referred(
  proto: AttributeProto,
  name: string,
  call: CallAttributes,
  place: Place,
): AttributeProto | undefined {
  const reference = proto.refAttrName ?? '';
  if (reference === '') return proto;
  const what = `attribute "${name}" of node "${place.node ?? ''}"`;
  if (!call) {
    throw modelError(
      place,
      `${what} refers to the attribute "${reference}" of a function, and is in none; a value would be accepted`,
    );
  }
  const given = call.get(reference);
  if (!given) return undefined;
  const [kind, wanted] = [kindOf(given), proto.type ?? 0];
  if (kind === TYPE.graph || (wanted !== 0 && kind !== wanted)) {
    throw modelError(
      place,
      `${what} refers to "${reference}", which is of kind ${kind} where ${wanted} is declared; the kinds of numbers, strings and tensors, the same on both sides, would be accepted`,
    );
  }
  return given;
}

/** Reads attributes into the IR; one that many calls share is read once. */
export class AttributeReader {
  private readonly known = new Map<AttributeProto, AttributeValue>();

  /**
   * @param body reads the body of a branch or loop
   * @throws ModelError for a kind the IR lacks (lists of tensors, sparse tensors, types)
   */
  read(
    protos: ReadonlyMap<string, AttributeProto>,
    place: Place,
    body: (graph: GraphProto) => Body,
  ): Attributes {
    const entries: [string, AttributeValue][] = [];
    for (const [name, proto] of protos) {
      checkText(name, 'an attribute', place);
      if (kindOf(proto) === TYPE.graph) {
        const what = `attribute "${name}" of node "${place.node ?? ''}"`;
        if (!proto.g) throw modelError(place, `${what} is a body without a graph`);
        entries.push([name, { kind: 'body', value: body(proto.g) }]);
        continue;
      }
      let value = this.known.get(proto);
      if (!value) {
        value = readAttribute(proto, name, place);
        this.known.set(proto, value);
      }
      entries.push([name, value]);
    }
    return Object.fromEntries(entries);
  }
}

function readAttribute(proto: AttributeProto, name: string, place: Place): AttributeValue {
  const what = `attribute "${name}" of node "${place.node ?? ''}"`;
  const text = (bytes: Uint8Array): string => checkText(utf8.decode(bytes), what, place);
  switch (kindOf(proto)) {
    case TYPE.float:
      return { kind: 'float', value: proto.f ?? 0 };
    case TYPE.int:
      return { kind: 'int', value: Number(proto.i ?? 0n) };
    case TYPE.string:
      return { kind: 'string', value: text(proto.s ?? new Uint8Array()) };
    case TYPE.tensor:
      if (!proto.t) throw modelError(place, `${what} is a tensor without a value`);
      return { kind: 'tensor', value: readTensor(proto.t, place) };
    case TYPE.floats:
      return { kind: 'floats', value: proto.floats };
    case TYPE.ints:
      return { kind: 'ints', value: proto.ints.map(Number) };
    case TYPE.strings:
      return { kind: 'strings', value: proto.strings.map(text) };
    default:
      throw modelError(
        place,
        `${what} has a kind that dtrain does not read (${proto.type ?? 0}); numbers, strings, tensors, lists of numbers and strings, and the bodies of branches and loops would be accepted`,
      );
  }
}

/** Files of IR version 1 do not say the type: it is that of the field which is there. */
function kindOf(proto: AttributeProto): number {
  if (proto.type !== undefined && proto.type !== 0) return proto.type;
  if (proto.f !== undefined) return TYPE.float;
  if (proto.i !== undefined) return TYPE.int;
  if (proto.s !== undefined) return TYPE.string;
  if (proto.t !== undefined) return TYPE.tensor;
  if (proto.g !== undefined) return TYPE.graph;
  if (proto.floats.length > 0) return TYPE.floats;
  if (proto.ints.length > 0) return TYPE.ints;
  return proto.strings.length > 0 ? TYPE.strings : 0;
}
