import { clone, create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { standardOperators } from '../../../graph/index.js';
import {
  AttributeProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  type AttributeProto,
  type GraphProto,
  type NodeProto,
} from '../../../graph/onnx/gen/onnx_pb.js';
import type { Draw } from './draw.js';

/** A way to damage the bytes of a model file. */
export type Mutation = (original: Uint8Array, draw: Draw) => Uint8Array;

/** The nodes come first in these files: damage to weights is not interesting. */
const GRAPH_BYTES = 24_000;

/** A few random edits: bytes changed, cut off, moved, or replaced by the longest varints. */
export const damaged: Mutation = (original, draw) => {
  let bytes = Uint8Array.from(original);
  for (let edits = draw.between(1, 4); edits > 0; edits--) {
    const at = draw.below(Math.min(bytes.length, GRAPH_BYTES));
    const length = draw.between(1, 16);
    switch (draw.below(5)) {
      case 0:
        bytes[at] = draw.below(256);
        break;
      case 1:
        bytes[at]! ^= 1 << draw.below(8);
        break;
      case 2:
        bytes = bytes.slice(0, at);
        break;
      case 3:
        bytes.copyWithin(at, draw.below(bytes.length), draw.below(bytes.length));
        break;
      default:
        bytes = Uint8Array.from([
          ...bytes.subarray(0, at),
          ...new Uint8Array(length).fill(255),
          ...bytes.subarray(at),
        ]);
    }
    if (bytes.length === 0) return bytes;
  }
  return bytes;
};

const EXTREMES = [
  ...[3n, 4n, 5n, 8n, 64n, -2n, -3n],
  0n,
  1n,
  -1n,
  2n,
  7n,
  -(2n ** 31n),
  2n ** 31n,
  2n ** 40n,
  2n ** 62n,
  -(2n ** 63n),
  2n ** 63n - 1n,
];
const ATTRIBUTES = [
  ...['axis', 'axes', 'to', 'group', 'kernel_shape', 'strides', 'pads', 'dilations', 'perm', 'start', 'end'],
  ...['num_outputs', 'batch_dims', 'blocksize', 'num_scan_inputs', 'scan_input_axes', 'keepdims', 'mode'],
];

/** Edits that leave a decodable file: other operators, missing operands, extreme numbers, other shapes, fields lost or twice. */
export const distorted: Mutation = (original, draw) => {
  const model = fromBinary(ModelProtoSchema, original);
  const number = (): bigint => draw.one(EXTREMES);
  const numbers = (most: number): bigint[] => Array.from({ length: draw.below(most) }, number);
  for (let edits = draw.between(1, 3); edits > 0; edits--) {
    // the graph, a body of it, or a function
    const places = [...placesOf(model.graph!), ...model.functions];
    const place = draw.one(places);
    const { node } = place;
    if (node.length === 0) continue;
    const some = draw.one(node);
    const values = node.flatMap(({ output }) => output);
    switch (draw.below(14)) {
      case 0:
        some.opType = draw.one(standardOperators.all()).operator;
        break;
      case 1:
        some.input.splice(draw.below(some.input.length + 1), 1);
        break;
      case 2:
        some.input[draw.below(some.input.length + 1)] = draw.one(values);
        break;
      case 3:
        for (const each of some.attribute) extreme(each, number);
        break;
      case 4: {
        const name = draw.one(ATTRIBUTES);
        const attribute = draw.flag() ? { name, type: 7, ints: numbers(5) } : { name, type: 2, i: number() };
        some.attribute = [...(draw.flag() ? some.attribute : []), create(AttributeProtoSchema, attribute)];
        break;
      }
      case 5:
        if (model.graph!.initializer.length > 0) {
          const tensor = draw.one(model.graph!.initializer);
          if (draw.flag()) tensor.dims = numbers(5);
          else if (tensor.dataType === 7 && tensor.rawData) {
            const values = Array.from({ length: tensor.rawData.length / 8 }, number);
            tensor.rawData = new Uint8Array(BigInt64Array.from(values).buffer);
          } else tensor.dataType = draw.below(20);
        }
        break;
      case 6:
        if (model.graph!.input.length === 0) break;
        for (const dim of draw.one(model.graph!.input).type?.tensorType?.shape?.dim ?? []) {
          if (draw.flag()) dim.value = { case: 'dimValue', value: number() };
        }
        break;
      case 7:
        node.splice(node.indexOf(some), 1);
        break;
      case 8: {
        const other = draw.one(draw.one(places).node.concat(some));
        node.splice(draw.below(node.length), 0, clone(NodeProtoSchema, other));
        break;
      }
      case 9:
        some.attribute.splice(draw.below(some.attribute.length + 1), 1);
        break;
      case 10:
        if (some.attribute.length > 0) draw.one(some.attribute).type = draw.below(15);
        break;
      case 11:
        some.domain = draw.one([
          '',
          'ai.onnx',
          'com.microsoft',
          'pkg.test',
          ...model.functions.map((f) => f.domain ?? ''),
        ]);
        break;
      case 12:
        some.output[draw.below(some.output.length + 1)] = draw.flag()
          ? ''
          : draw.one([...values, '__proto__', 'constructor']);
        break;
      default:
        shuffled(place, draw, number);
    }
  }
  return toBinary(ModelProtoSchema, model);
};

/** Edits of numbers only: attributes, shapes and axes in tensors, dimensions of inputs. Most of these files can be read. */
export const renumbered: Mutation = (original, draw) => {
  const model = fromBinary(ModelProtoSchema, original);
  const number = (): bigint => draw.one(EXTREMES);
  const { initializer, input } = model.graph!;
  const nodes = [...placesOf(model.graph!), ...model.functions].flatMap(({ node }) => node);
  const attributes = nodes.flatMap(({ attribute }) => attribute);
  const tensors = [...initializer, ...attributes.flatMap(({ t }) => (t ? [t] : []))];
  const shapes = tensors.filter(({ dataType }) => dataType === 7);
  for (let edits = draw.between(1, 4); edits > 0; edits--) {
    const some = attributes.length > 0 && draw.flag() ? draw.one(attributes) : undefined;
    if (some?.i !== undefined) some.i = number();
    else if (some && some.ints.length > 0) some.ints[draw.below(some.ints.length)] = number();
    else if (shapes.length > 0 && draw.below(4) > 0) {
      const tensor = draw.one(shapes);
      const count = (tensor.rawData?.length ?? 0) / 8 + tensor.int64Data.length;
      const held = tensor.rawData
        ? [...new BigInt64Array(Uint8Array.from(tensor.rawData).buffer)]
        : tensor.int64Data;
      if (count > 0) held[draw.below(count)] = number();
      if (tensor.rawData) tensor.rawData = new Uint8Array(BigInt64Array.from(held).buffer);
    } else if (input.length > 0) {
      const dims = draw.one(input).type?.tensorType?.shape?.dim ?? [];
      if (dims.length > 0) draw.one(dims).value = { case: 'dimValue', value: number() };
    }
  }
  return toBinary(ModelProtoSchema, model);
};

/** Inputs and outputs of a graph, body or function lost, doubled or renamed; opsets changed. */
function shuffled(place: object, draw: Draw, number: () => bigint): void {
  for (const key of ['input', 'output', 'opsetImport', 'initializer', 'attribute'] as const) {
    const list: unknown = (place as Record<string, unknown>)[key];
    if (!Array.isArray(list) || list.length === 0 || !draw.flag()) continue;
    if (key === 'opsetImport') for (const each of list as { version?: bigint }[]) each.version = number();
    else if (draw.flag()) list.splice(draw.below(list.length), 1);
    else list.push(list[draw.below(list.length)]);
  }
}

function extreme(attribute: AttributeProto, number: () => bigint): void {
  if (attribute.i !== undefined) attribute.i = number();
  else if (attribute.ints.length > 0) attribute.ints = attribute.ints.map(number);
  else if (attribute.f !== undefined) attribute.f = Number(number());
  else if (attribute.t?.rawData?.length === 8)
    attribute.t.rawData = new Uint8Array(BigInt64Array.of(number()).buffer);
}

function* placesOf(graph: GraphProto): Generator<{ node: NodeProto[] }> {
  yield graph;
  for (const { attribute } of graph.node) {
    for (const { g } of attribute) if (g) yield* placesOf(g);
  }
}
