import { create } from '@bufbuild/protobuf';
import { modelError } from './fail.js';
import {
  AttributeProtoSchema,
  type ModelProto,
  type NodeProto,
  type StringStringEntryProto,
  type TensorProto,
} from './gen/onnx_pb.js';

/** Tensors that were merged take this much apart, at most: a small file must not ask for all memory. */
const MOST_APART = 2 ** 31;

/** Written beside each value by PyTorch's exporter (torch.export), and by us. */
export const KIND_KEY = 'pkg.torch.export.graph_signature.InputSpec.kind';
export type Kind = 'PARAMETER' | 'BUFFER' | 'CONSTANT_TENSOR';

/** Of a node: the line of PyTorch's graph; the module's tensors are `%p_NAME` and `%b_NAME` in it. */
const LINE_KEY = 'pkg.torch.onnx.fx_node';
/** What a tensor that the exporter's optimizer computed was made from: a list of names, as Python prints it. */
const FOLDED_KEY = 'pkg.onnxscript.optimizer.folded_from';

const PLACEHOLDER = /%(p_\w+)/g;
/** Batch normalization that takes its statistics from the batch: (x, weight, bias, mean, variance, True, ...). */
const BATCH_STATISTICS = /aten\._native_batch_norm_legit[\w.]*\]?\(args = \((?:[^,()]*, ){5}True\b/;

/**
 * A file of PyTorch's exporters as the module that it was made from:
 *
 * - Tensors that were merged because they happened to be equal (biases of zeros) are apart again. The older exporter
 *   leaves an Identity under the name of each but the first; parameters that the module itself shares have none.
 * - A BatchNormalization that was exported in training mode is in training mode: the newer exporter writes the form
 *   for prediction, and the mode only into the line beside it.
 * - A normalization without running statistics, which the older exporter writes as one that updates statistics
 *   computed from its own input, only reads them.
 *
 * Files of others are returned as they are.
 * @throws ModelError where parameters of the module are neither in the file nor computed ahead into what is: the
 *   newer exporter's optimizer merges equal ones without a trace, and folds BatchNormalization into convolutions
 */
export function asInModule(proto: ModelProto, source: string): ModelProto {
  const file = proto.graph;
  if (!file || !isPyTorch(proto)) return proto;
  checkComplete(proto, source);
  const tensors = new Map(file.initializer.map((tensor) => [tensor.name ?? '', tensor]));
  const outputs = new Set(file.output.map(({ name }) => name ?? ''));
  const apart: TensorProto[] = [];
  const means = new Set(
    file.node.filter(({ opType }) => opType === 'ReduceMean').map(({ output }) => output[0] ?? ''),
  );
  let bytes = 0;
  const node = file.node.flatMap((each): NodeProto[] => {
    if (takesBatchStatistics(each)) return [inTraining(each)];
    if (each.opType === 'BatchNormalization' && means.has(each.input[3] ?? '')) return [reading(each)];
    const [input = '', output = ''] = [each.input[0], each.output[0]];
    const merged = each.opType === 'Identity' && !outputs.has(output) ? tensors.get(input) : undefined;
    if (!merged || tensors.has(output)) return [each];
    bytes += bytesIn(merged);
    if (bytes > MOST_APART) {
      throw modelError(
        { source, node: each.name ?? '' },
        `node "${each.name ?? ''}" (Identity) repeats "${input}": with it, equal tensors written apart take more than ${MOST_APART} bytes`,
      );
    }
    apart.push({ ...merged, name: output });
    return [];
  });
  return { ...proto, graph: { ...file, node, initializer: [...file.initializer, ...apart] } };
}

/** What a tensor's elements take, at most. */
function bytesIn({ rawData, floatData, int32Data, int64Data, doubleData, uint64Data }: TensorProto): number {
  const typed = [floatData, int32Data, int64Data, doubleData, uint64Data];
  return (rawData?.length ?? 0) + 8 * typed.reduce((sum, { length }) => sum + length, 0);
}

export function isPyTorch(proto: ModelProto): boolean {
  return (proto.producerName ?? '').toLowerCase().includes('pytorch');
}

/**
 * What PyTorch's exporter (or dtrain) noted about the file's tensors, by name. One that its optimizer computed ahead
 * from a parameter (its transpose, mostly) is a parameter too.
 */
export function notedKinds(proto: ModelProto): ReadonlyMap<string, string> {
  const kinds = new Map<string, string>();
  const folded: [string, string[]][] = [];
  for (const { name = '', metadataProps } of notesOf(proto)) {
    const kind = noteOf(metadataProps, KIND_KEY);
    const from = noteOf(metadataProps, FOLDED_KEY);
    if (kind !== undefined) kinds.set(name, kind);
    else if (from !== undefined) folded.push([name, namesIn(from)]);
  }
  if (folded.length === 0) return kinds;
  const mentioned = mentionedParameters(proto);
  const parameter: Kind = 'PARAMETER';
  for (const [name, from] of folded) {
    if (from.some((each) => mentioned.has(placeholderOf(each)))) kinds.set(name, parameter);
  }
  return kinds;
}

function checkComplete(proto: ModelProto, source: string): void {
  const lost = new Set(mentionedParameters(proto));
  if (lost.size === 0) return;
  for (const { name = '', metadataProps } of notesOf(proto)) {
    const from = noteOf(metadataProps, FOLDED_KEY);
    for (const each of [name, ...(from === undefined ? [] : namesIn(from))]) lost.delete(placeholderOf(each));
  }
  for (const { name = '' } of proto.graph?.initializer ?? []) lost.delete(placeholderOf(name));
  if (lost.size === 0) return;
  const [first, ...more] = [...lost].map((name) => `"${name.slice(2)}"`);
  const others = more.length > 0 ? ` and ${more.length} more` : '';
  throw modelError(
    { source },
    `lacks the module's parameter ${first}${others}: the exporter's optimizer has merged tensors that were equal, or ` +
      'folded BatchNormalization into a Conv, and what is left would train otherwise than the module. Export with ' +
      'torch.onnx.export(..., dynamo=True, optimize=False)',
  );
}

function notesOf({ graph }: ModelProto): readonly Noted[] {
  return [...(graph?.valueInfo ?? []), ...(graph?.initializer ?? [])];
}

interface Noted {
  readonly name?: string | undefined;
  readonly metadataProps: readonly StringStringEntryProto[];
}

function noteOf(notes: readonly StringStringEntryProto[], wanted: string): string | undefined {
  return notes.find(({ key }) => key === wanted)?.value;
}

/** The placeholders of parameters in the lines beside the nodes. */
function mentionedParameters(proto: ModelProto): ReadonlySet<string> {
  const lines = (proto.graph?.node ?? []).map(lineOf);
  return new Set(lines.flatMap((line) => Array.from(line.matchAll(PLACEHOLDER), ([, name]) => name!)));
}

/** PyTorch's name of the parameter in its graph, without the "self_" that "self_attn" begins with. */
function placeholderOf(name: string): string {
  return `p_${name.replace(/^self_/, '').replace(/[^a-zA-Z0-9]/g, '_')}`;
}

/** The names in a list that Python printed. */
function namesIn(list: string): string[] {
  return Array.from(list.matchAll(/'([^']*)'/g), ([, name]) => name!);
}

/** The line of PyTorch's graph that a node was made from; '' where none is noted. */
export function lineOf({ metadataProps }: NodeProto): string {
  return noteOf(metadataProps, LINE_KEY) ?? '';
}

function takesBatchStatistics(node: NodeProto): boolean {
  return node.opType === 'BatchNormalization' && BATCH_STATISTICS.test(lineOf(node));
}

function inTraining(node: NodeProto): NodeProto {
  const rest = node.attribute.filter(({ name }) => name !== 'training_mode');
  const mode = create(AttributeProtoSchema, { name: 'training_mode', type: 2, i: 1n });
  return { ...node, attribute: [...rest, mode] };
}

/** The form that normalizes with the statistics it is given. */
function reading(node: NodeProto): NodeProto {
  const attribute = node.attribute.filter(({ name }) => name !== 'training_mode');
  return { ...node, output: node.output.slice(0, 1), attribute };
}
