import { readFile, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { elementType } from '../ir/element.js';
import type { Graph, Node, ValueInfo } from '../ir/graph.js';
import { sizeOf, type Dimension, type Tensor } from '../ir/tensor.js';
import { fromReference } from '../reference/value.js';
import { readAttributes } from './attribute.js';
import { inlineExternalData } from './external.js';
import { modelError, type Place } from './fail.js';
import { ModelProtoSchema, type GraphProto, type ModelProto, type ValueInfoProto } from './gen/onnx_pb.js';
import { NameSpace } from './names.js';
import { checkOpset, normalize } from './normalize.js';
import { inOrder } from './order.js';
import { readTensor } from './tensor.js';
import { trainableNames } from './trainable.js';

/** A model as read: the graph in the IR, and the file's own message for writing it back. */
export interface Model {
  readonly graph: Graph;
  /** The opset of ai.onnx that the file was written in; the graph is in IR_OPSET's form. */
  readonly opset: number;
  /** With external data brought in. Treat as read-only. */
  readonly proto: ModelProto;
}

export interface ReadOptions {
  /** What messages call the file. */
  readonly source?: string;
  /** Says which float initializers are parameters, instead of the rules in trainable.ts. */
  readonly trainable?: (name: string) => boolean;
}

/** Control flow: refused by name, with what to do. */
const CONTROL_FLOW = new Set(['If', 'Loop', 'Scan', 'SequenceMap']);

/**
 * Reads a model that is one piece.
 * @throws ModelError for anything that is not a model dtrain can use; nothing is allocated by what the file
 *   merely claims
 */
export function readModel(bytes: Uint8Array, options: ReadOptions = {}): Model {
  const source = options.source ?? 'the model';
  return modelOf(decode(bytes, source), options, source);
}

/**
 * Reads a model file, with the external data files in its folder.
 * @throws ModelError
 */
export async function loadModel(path: string, options: ReadOptions = {}): Promise<Model> {
  const source = options.source ?? path;
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw modelError(
      { source },
      `cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    );
  });
  const proto = decode(bytes, source);
  await inlineExternalData(proto, dirname(await realpath(path)), { source });
  return modelOf(proto, options, source);
}

function decode(bytes: Uint8Array, source: string): ModelProto {
  let proto: ModelProto;
  try {
    proto = fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    throw modelError(
      { source },
      `is not an ONNX model, or is truncated: its ${bytes.byteLength} bytes do not decode`,
      cause,
    );
  }
  if (!proto.graph || proto.opsetImport.length === 0) {
    throw modelError(
      { source },
      `holds no ${proto.graph ? 'opset' : 'graph'}: not an ONNX model, or truncated`,
    );
  }
  return proto;
}

function modelOf(proto: ModelProto, options: ReadOptions, source: string): Model {
  const place: Place = { source };
  const opset = opsetOf(proto, place);
  const file = proto.graph!;
  if (file.sparseInitializer.length > 0) {
    throw modelError(place, 'has sparse initializers; dense ones would be accepted');
  }
  const initializers = readInitializers(file, place);
  const inputs = file.input
    .filter((input) => !initializers.has(input.name ?? ''))
    .map((input) => valueInfo(input, place));
  const names = new NameSpace([...initializers.keys(), ...file.node.flatMap(({ output }) => output)]);
  const known = new Set(initializers.keys());
  for (const { name } of inputs) {
    if (known.has(name) || name === '')
      throw modelError({ source, value: name }, `the input "${name}" is declared twice, or has no name`);
    names.take(name);
    known.add(name);
  }
  const constants = new Map<string, Tensor>();
  const nodes = readNodes(file, opset, names, constants, place);
  for (const name of constants.keys()) {
    if (known.has(name)) throw modelError({ source, value: name }, `"${name}" is given twice`);
    known.add(name);
  }
  const ordered = inOrder(nodes, known, source);
  const outputs = readOutputs(file, new Set([...known, ...nodes.flatMap((node) => node.outputs)]), place);
  const trainable = trainableNames(
    initializers,
    ordered,
    outputs.map(({ name }) => name),
    proto,
    options.trainable,
  );
  const parameters = new Map([...initializers].filter(([name]) => trainable.has(name)));
  const rest = [...initializers].filter(([name]) => !trainable.has(name));
  const graph: Graph = {
    name: file.name ?? 'model',
    inputs,
    outputs,
    nodes: ordered,
    parameters,
    constants: new Map([...rest, ...constants]),
  };
  return { graph, opset, proto };
}

/** The opset of ai.onnx. Other domains are refused where a node uses one: exporters import more than they use. */
function opsetOf(proto: ModelProto, place: Place): number {
  const own = proto.opsetImport.find(({ domain }) => isOnnx(domain));
  if (!own) throw modelError(place, 'imports no opset of ai.onnx');
  const opset = Number(own.version ?? 0n);
  checkOpset(opset, place);
  return opset;
}

function isOnnx(domain: string | undefined): boolean {
  return domain === undefined || domain === '' || domain === 'ai.onnx';
}

function readInitializers(file: GraphProto, place: Place): Map<string, Tensor> {
  const initializers = new Map<string, Tensor>();
  for (const proto of file.initializer) {
    const name = proto.name ?? '';
    if (name === '' || initializers.has(name)) {
      throw modelError({ ...place, value: name }, `the initializer "${name}" is given twice, or has no name`);
    }
    initializers.set(name, readTensor(proto, { ...place, value: name }));
  }
  return initializers;
}

/** The nodes in the form of IR_OPSET, in the file's order; Constant nodes go to `constants` instead. */
function readNodes(
  file: GraphProto,
  opset: number,
  names: NameSpace,
  constants: Map<string, Tensor>,
  place: Place,
): Node[] {
  const nodeNames = new NameSpace(file.node.map(({ name }) => name ?? ''));
  const seen = new Set<string>();
  const nodes: Node[] = [];
  for (const proto of file.node) {
    const operator = proto.opType ?? '';
    const given = proto.name ?? '';
    const name = given === '' || seen.has(given) ? nodeNames.fresh(given === '' ? operator : given) : given;
    seen.add(name);
    const at: Place = { ...place, node: name };
    checkSupported(
      operator,
      proto.domain,
      proto.attribute.some(({ g, graphs }) => g !== undefined || graphs.length > 0),
      at,
    );
    const node: Node = {
      name,
      operator,
      domain: '',
      inputs: proto.input,
      outputs: proto.output,
      attributes: readAttributes(proto, at),
    };
    if (operator === 'Constant') {
      const [output = ''] = node.outputs;
      if (constants.has(output)) throw modelError({ ...at, value: output }, `"${output}" is given twice`);
      constants.set(output, constantOf(node, at));
      continue;
    }
    const constant = (hint: string, tensor: Tensor): string => {
      const fresh = names.fresh(hint);
      constants.set(fresh, tensor);
      return fresh;
    };
    nodes.push(...normalize(node, opset, { constant, fresh: (hint) => names.fresh(hint), place: at }));
  }
  return nodes;
}

function checkSupported(operator: string, domain: string | undefined, hasBody: boolean, at: Place): void {
  const what = `node "${at.node ?? ''}"`;
  if (CONTROL_FLOW.has(operator) || hasBody) {
    throw modelError(
      at,
      `${what} is a ${operator}: dtrain trains graphs without loops and branches. Export with fixed control flow (tracing unrolls loops over fixed lengths)`,
    );
  }
  if (!isOnnx(domain)) {
    throw modelError(
      at,
      `${what} is ${domain ?? ''}.${operator}; operators of ai.onnx would be accepted (export without fused or custom operators, and with functions inlined)`,
    );
  }
}

/** The tensor of a Constant node, whichever of its attributes holds it. */
function constantOf(node: Node, at: Place): Tensor {
  const [entry, ...more] = Object.entries(node.attributes);
  const value = entry?.[1];
  if (!value || more.length > 0)
    throw modelError(at, `node "${node.name}" (Constant) must have exactly one value`);
  switch (value.kind) {
    case 'tensor':
      return value.value;
    case 'float':
      return { dtype: 'float32', shape: [], data: Float32Array.of(value.value) };
    case 'floats':
      return { dtype: 'float32', shape: [value.value.length], data: Float32Array.from(value.value) };
    case 'int':
      return fromReference({ dtype: 'int64', shape: [], data: Float64Array.of(value.value) });
    case 'ints':
      return fromReference({
        dtype: 'int64',
        shape: [value.value.length],
        data: Float64Array.from(value.value),
      });
    case 'string':
    case 'strings':
      throw modelError(at, `node "${node.name}" (Constant) holds text; a numeric value would be accepted`);
  }
}

function readOutputs(file: GraphProto, given: ReadonlySet<string>, place: Place): ValueInfo[] {
  if (file.output.length === 0) throw modelError(place, 'the graph has no outputs');
  const seen = new Set<string>();
  return file.output.map((proto) => {
    const name = proto.name ?? '';
    if (!given.has(name))
      throw modelError({ ...place, value: name }, `the output "${name}" is given by no node`);
    if (seen.has(name)) throw modelError({ ...place, value: name }, `the output "${name}" is declared twice`);
    seen.add(name);
    return valueInfo(proto, place, 'output');
  });
}

/**
 * A declared input or output. A dimension without a value is a symbol of its own. An output's type is only
 * a declaration (types are inferred), so what is missing there does not matter.
 */
function valueInfo(proto: ValueInfoProto, place: Place, role: 'input' | 'output' = 'input'): ValueInfo {
  const name = proto.name ?? '';
  const at: Place = { ...place, value: name };
  const tensor = proto.type?.tensorType;
  const dtype = elementType(tensor?.elemType ?? 0);
  if (role === 'input' && (!tensor?.shape || dtype === undefined || dtype === 'string')) {
    throw modelError(
      at,
      `the input "${name}" ${tensor?.shape ? `has ONNX element type ${tensor.elemType ?? 0}` : 'is not a tensor with a declared shape'}; a tensor of numbers whose number of dimensions is known would be accepted`,
    );
  }
  const shape = (tensor?.shape?.dim ?? []).map(({ value }, axis): Dimension => {
    const unknown = `${name}_dim_${axis}`;
    if (value.case === 'dimParam') return value.value === '' ? unknown : value.value;
    if (value.case === undefined || value.value === -1n) return unknown;
    return Number(value.value);
  });
  const lengths = shape.filter((dim) => typeof dim === 'number');
  if (lengths.some((dim) => dim < 0) || !Number.isSafeInteger(sizeOf(lengths))) {
    throw modelError(
      at,
      `the ${role} "${name}" has the dimensions [${shape.join(', ')}]; lengths from 0 would be accepted`,
    );
  }
  return { name, dtype: dtype ?? 'float32', shape };
}
