import { ModelError } from '../errors.js';
import {
  attribute,
  floatAttribute,
  intAttribute,
  type Graph,
  type Node,
  type TypedGraph,
} from '../ir/graph.js';
import { formatType, sizeOf, type Tensor } from '../ir/tensor.js';

/**
 * Which BatchNormalizations take their statistics from the batch in training: those that the exporter wrote so, all,
 * or none. The others use their running statistics, and leave them as they are.
 */
export type BatchNormalizationMode = 'exported' | 'train' | 'freeze';

/** What one BatchNormalization that trains found in a batch, and the running statistics that it belongs to. */
export interface BatchStatistics {
  /** The node's name. */
  readonly node: string;
  /** `buffer` names the running mean, `output` the training graph's output with the batch's: float32 [C]. */
  readonly mean: { readonly buffer: string; readonly output: string };
  /** Likewise; the output holds the population variance (sum of squares / count). */
  readonly variance: { readonly buffer: string; readonly output: string };
  /** running = momentum * running + (1 - momentum) * batch */
  readonly momentum: number;
  /** Values that each channel's mean is taken over: samples times space. */
  readonly count: number;
}

/** Has every BatchNormalization train or not, as `mode` says, whatever form the exporter wrote it in. */
export function setBatchNormalization(graph: Graph, mode: BatchNormalizationMode): Graph {
  if (mode === 'exported') return graph;
  const used = usedValues(graph);
  const nodes = graph.nodes.flatMap((node) => {
    if (!isBatchNormalization(node)) return [node];
    if (mode === 'freeze') return inferenceForm(node, used);
    return [{ ...node, attributes: { ...node.attributes, training_mode: attribute.int(1) } }];
  });
  return { ...graph, nodes };
}

/** Whether a node takes its statistics from the batch. */
export function usesBatch(node: Node): boolean {
  return isBatchNormalization(node) && intAttribute(node, 'training_mode', 0) === 1;
}

/**
 * The running statistics of the BatchNormalizations that train, by name, with the values that the model starts from.
 * They are state of a training: neither parameters nor constants.
 * @throws ModelError where one is computed by the model, is a parameter as well, or is not float32
 */
export function runningStatistics(graph: Graph): ReadonlyMap<string, Tensor> {
  const training = graph.nodes.filter(usesBatch);
  if (training.length === 0) return new Map();
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node])));
  const found = new Map<string, Tensor>();
  for (const node of training) {
    for (const [at, role] of [
      [3, 'mean'],
      [4, 'variance'],
    ] as const) {
      const name = node.inputs[at] ?? '';
      if (!found.has(name)) found.set(name, startOf(graph, producers, { node, name, role }));
    }
  }
  return found;
}

/**
 * The statistics that BatchNormalizations which do not train are given, by name: constants, though part of what
 * frameworks save of a model.
 */
export function fixedStatistics(graph: Graph): ReadonlyMap<string, Tensor> {
  const names = graph.nodes
    .filter((node) => isBatchNormalization(node) && !usesBatch(node))
    .flatMap(({ inputs }) => inputs.slice(3, 5));
  return new Map(
    [...new Set(names)].flatMap((name) => {
      const tensor = graph.constants.get(name);
      return tensor ? [[name, tensor] as const] : [];
    }),
  );
}

/** Which running statistic of which node. */
interface Reading {
  readonly node: Node;
  readonly name: string;
  readonly role: string;
}

function startOf(graph: Graph, producers: ReadonlyMap<string, Node>, reading: Reading): Tensor {
  if (graph.parameters.has(reading.name)) {
    throw refusal(
      reading,
      'is a trained parameter too: an exporter or optimizer has merged tensors that were equal. Export the model with ' +
        'training=torch.onnx.TrainingMode.TRAINING, or without merging equal initializers',
    );
  }
  // PyTorch's exporter merges equal tensors and leaves an Identity under the name of each but the first
  let source = reading.name;
  for (let from = producers.get(source); from; from = producers.get(source)) {
    if (from.operator !== 'Identity' || from.domain !== '') break;
    source = from.inputs[0]!;
  }
  const tensor = graph.constants.get(source) ?? graph.parameters.get(source);
  if (!tensor)
    throw refusal(
      reading,
      'is computed by the model; an initializer would be accepted, for it has to be kept',
    );
  if (tensor.dtype !== 'float32')
    throw refusal(reading, `is ${formatType(tensor)}; float32 would be accepted`);
  return tensor;
}

function refusal({ node, name, role }: Reading, what: string): ModelError {
  return new ModelError(
    `model: node "${node.name}" (BatchNormalization) is to train, but its running ${role} "${name}" ${what}. ` +
      'Or keep the running statistics as they are, with batchNormalization: freeze',
    { ids: { node: node.name, value: name } },
  );
}

/** The graph with its running statistics as constants of their own names, shared with nothing else. */
export function ownStatistics(graph: Graph, statistics: ReadonlyMap<string, Tensor>): Graph {
  if (statistics.size === 0) return graph;
  return {
    ...graph,
    nodes: graph.nodes.filter((node) => !node.outputs.some((output) => statistics.has(output))),
    constants: new Map([...graph.constants, ...statistics]),
  };
}

/** The running statistics that the graph reads, from constants to inputs. */
export function statisticsAsInputs(typed: TypedGraph, statistics: ReadonlyMap<string, Tensor>): TypedGraph {
  if (statistics.size === 0) return typed;
  const read = [...typed.constants.keys()].filter((name) => statistics.has(name));
  return {
    ...typed,
    inputs: [...typed.inputs, ...read],
    constants: new Map([...typed.constants].filter(([name]) => !statistics.has(name))),
  };
}

/** The graph without those of the running statistics among its inputs that nothing in it reads. */
export function withoutUnreadStatistics(
  typed: TypedGraph,
  statistics: ReadonlyMap<string, Tensor>,
): TypedGraph {
  if (statistics.size === 0) return typed;
  const used = usedValues(typed);
  const inputs = typed.inputs.filter((name) => !statistics.has(name) || used.has(name));
  const dropped = new Set(typed.inputs.filter((name) => !inputs.includes(name)));
  return { ...typed, inputs, types: new Map([...typed.types].filter(([name]) => !dropped.has(name))) };
}

/** What a node that trains finds in a batch, before its outputs are named. */
export function statisticsOf(
  node: Node,
  shape: readonly number[],
): Pick<BatchStatistics, 'node' | 'momentum' | 'count'> {
  return {
    node: node.name,
    momentum: floatAttribute(node, 'momentum', 0.9),
    count: sizeOf(shape) / shape[1]!,
  };
}

/**
 * One value has no variance: PyTorch refuses it too.
 * @param statistics of a graph for `batch` samples
 * @param samples how few of them there may be at once, in a short last batch or on a device with a small share
 * @throws ModelError where a node would normalize single values
 */
export function checkCounts(
  statistics: readonly Pick<BatchStatistics, 'node' | 'count'>[],
  batch: number,
  samples: number,
): void {
  const single = statistics.find(({ count }) => (count / batch) * samples <= 1);
  if (!single) return;
  throw new ModelError(
    `model: node "${single.node}" (BatchNormalization) takes mean and variance of a batch, and some steps have only ` +
      `${samples} sample${samples === 1 ? '' : 's'} at once, which is one value a channel and has no variance. Choose a ` +
      'batch of which each device, in the last step of an epoch too, gets 2 samples or none, or set ' +
      'batchNormalization: freeze',
    { ids: { node: single.node } },
  );
}

function isBatchNormalization({ operator, domain }: Node): boolean {
  return operator === 'BatchNormalization' && domain === '';
}

/** With the running statistics, which outputs 1 and 2 then are. */
function inferenceForm(node: Node, used: ReadonlySet<string>): Node[] {
  const passed = [1, 2].flatMap((at): Node[] => {
    const output = node.outputs[at] ?? '';
    if (!used.has(output)) return [];
    const name = `${node.name}.${at === 1 ? 'mean' : 'variance'}`;
    const inputs = [node.inputs[at + 2]!];
    return [{ name, operator: 'Identity', domain: '', inputs, outputs: [output], attributes: {} }];
  });
  const { training_mode: _, ...attributes } = node.attributes;
  return [{ ...node, outputs: node.outputs.slice(0, 1), attributes }, ...passed];
}

/** Values that some node or output reads. */
function usedValues({ nodes, outputs }: Graph | TypedGraph): ReadonlySet<string> {
  const names = outputs.map((output) => (typeof output === 'string' ? output : output.name));
  const used = new Set([...names, ...nodes.flatMap((node) => node.inputs)]);
  used.delete('');
  return used;
}
