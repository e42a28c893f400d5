import { readFile, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import type { CustomOperator } from '../custom/definition.js';
import type { Graph, ValueInfo } from '../ir/graph.js';
import { NameSpace } from '../ir/names.js';
import { customOperators, withOperators } from './custom.js';
import { inlineExternalData } from './external.js';
import { modelError, type Place } from './fail.js';
import { FunctionLibrary } from './functions.js';
import { ModelProtoSchema, type GraphProto, type ModelProto, type TensorProto } from './gen/onnx_pb.js';
import { readInitializers } from './initializers.js';
import { NodeReader, opsetOf } from './nodes.js';
import { checkOpset } from './normalize.js';
import { inOrder } from './order.js';
import { asInModule } from './pytorch.js';
import { Scope } from './scope.js';
import { checkText } from './text.js';
import { trainableNames } from './trainable.js';
import { readOutputs, valueInfo } from './value-info.js';

/** A model as read: the graph in the IR, with the calls of the file's functions written out, and the file's own message for writing it back. */
export interface Model {
  readonly graph: Graph;
  /** The opset of ai.onnx that the file was written in; the graph is in IR_OPSET's form. */
  readonly opset: number;
  /** With external data brought in, and tensors that PyTorch's exporter merged apart again. Treat as read-only. */
  readonly proto: ModelProto;
  /** Where in `proto` each initializer lies, those of bodies included, by its name in the graph. */
  readonly initializers: ReadonlyMap<string, TensorProto>;
}

export interface ReadOptions {
  /** What messages call the file. */
  readonly source?: string;
  /** Says which float initializers are parameters, instead of the rules in trainable.ts. */
  readonly trainable?: (name: string) => boolean;
  /** Definitions of operators that the file uses, beside those in its metadata. */
  readonly operators?: readonly CustomOperator[];
}

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

function modelOf(written: ModelProto, options: ReadOptions, source: string): Model {
  const place: Place = { source };
  const operators = customOperators(written, options.operators);
  const proto = withOperators(asInModule(written, source), operators.all);
  const file = proto.graph!;
  const opset = opsetOf(proto.opsetImport);
  if (opset === undefined) throw modelError(place, 'imports no opset of ai.onnx');
  checkOpset(opset, place);
  const functions = new FunctionLibrary(proto, source);
  functions.check(file.node);

  const own = readInitializers(file, place);
  const inputs = readInputs(file, new Set(own.keys()), place);
  const given = [...own.keys(), ...inputs.map(({ name }) => name)];
  const values = [...given, ...file.node.flatMap(({ output }) => output)];
  for (const name of values) checkText(name, 'the name of a value', place);
  const nodeNames = file.node.map(({ name }) => name ?? '').filter((name) => name !== '');
  const reader = new NodeReader(
    functions,
    { values: new NameSpace(values), nodes: new NameSpace(nodeNames), reserved: new Set(nodeNames) },
    source,
    operators,
  );
  const nodes = reader.read(file.node, Scope.ofGraph(values), opset);

  const known = new Set(given);
  for (const name of reader.constants.keys()) {
    if (known.has(name)) throw modelError({ source, value: name }, `"${name}" is given twice`);
    known.add(name);
  }
  const initializers = new Map([...own, ...reader.initializers]);
  for (const name of reader.initializers.keys()) known.add(name);
  const ordered = inOrder(nodes, known, source);
  const outputs = readOutputs(file, new Set([...known, ...nodes.flatMap((node) => node.outputs)]), place);
  const trainable = trainableNames(
    initializers,
    ordered,
    outputs.map(({ name }) => name),
    proto,
    options.trainable,
  );
  const tensors = [...initializers].map(([name, { tensor }]) => [name, tensor] as const);
  const graph: Graph = {
    name: checkText(file.name ?? 'model', 'the name of the graph', place),
    inputs,
    outputs,
    nodes: ordered,
    parameters: new Map(tensors.filter(([name]) => trainable.has(name))),
    constants: new Map([...tensors.filter(([name]) => !trainable.has(name)), ...reader.constants]),
  };
  return {
    graph,
    opset,
    proto,
    initializers: new Map([...initializers].map(([name, each]) => [name, each.proto])),
  };
}

/** The graph's inputs; files of the older format list initializers among them too, and those are none. */
function readInputs(file: GraphProto, initializers: ReadonlySet<string>, place: Place): ValueInfo[] {
  const seen = new Set<string>();
  return file.input.flatMap((proto) => {
    const name = checkText(proto.name ?? '', 'an input', place);
    if (initializers.has(name)) return [];
    if (seen.has(name) || name === '') {
      throw modelError({ ...place, value: name }, `the input "${name}" is declared twice, or has no name`);
    }
    seen.add(name);
    return [valueInfo(proto, place)];
  });
}
