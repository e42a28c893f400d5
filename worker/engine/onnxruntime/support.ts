import {
  intAttribute,
  intsAttribute,
  stringAttribute,
  type DataType,
  type Node,
  type TypedGraph,
} from '../../../graph/index.js';
import type { DeviceKind } from '../../../scheduler/index.js';
import type { Fallback } from '../port.js';
import { lowerFor } from './lowering/index.js';
import { writtenOut } from './lowering/rules.js';

/** f: float32, i: int32, l: int64, b: bool, u: uint8. */
const LETTERS: Readonly<Partial<Record<DataType, string>>> = {
  float32: 'f',
  int32: 'i',
  int64: 'l',
  bool: 'b',
  uint8: 'u',
};

/**
 * Operators of the standard by the element types that they take: `OPERANDS>RESULTS`, or both alike. `DATA,MORE`: the
 * first operand and the results are DATA, the others may be MORE as well.
 */
const BY_TYPES: Readonly<Record<string, readonly string[]>> = {
  f: [
    ...['Abs', 'Neg', 'Slice'],
    ...[
      'Acos',
      'Acosh',
      'Asin',
      'Asinh',
      'Atan',
      'Atanh',
      'AveragePool',
      'BatchNormalization',
      'Ceil',
      'Conv',
    ],
    ...['ConvTranspose', 'Cos', 'Cosh', 'DepthToSpace', 'Elu', 'Erf', 'Exp', 'Floor', 'Gelu', 'Gemm'],
    ...['GlobalAveragePool', 'GlobalMaxPool', 'HardSigmoid', 'HardSwish', 'InstanceNormalization'],
    ...[
      'LayerNormalization',
      'LeakyRelu',
      'Log',
      'LpNormalization',
      'MatMul',
      'MaxPool',
      'Mish',
      'PRelu',
      'Pow',
    ],
    ...['RMSNormalization', 'Reciprocal', 'ReduceL1', 'ReduceL2', 'ReduceLogSum', 'ReduceLogSumExp'],
    ...[
      'ReduceMean',
      'ReduceSumSquare',
      'Relu',
      'Resize',
      'Sigmoid',
      'Sin',
      'Sinh',
      'Softmax',
      'Softplus',
      'Sqrt',
    ],
    ...['Swish', 'Tan', 'Tanh', 'ThresholdedRelu', 'SimplifiedLayerNormalization'],
  ],
  fi: [
    ...['Add', 'Clip', 'Concat', 'Div', 'Identity', 'Max', 'Min', 'Mul', 'Pad', 'ReduceMax', 'ReduceMin'],
    ...['ReduceProd', 'ReduceSum', 'Split', 'Squeeze', 'Sub', 'Tile', 'Transpose', 'ScatterElements'],
  ],
  fib: ['Expand', 'Flatten', 'Gather', 'Reshape', 'Unsqueeze'],
  'fi,l': ['CumSum', 'GatherND', 'ScatterND', 'Trilu'],
  'fi>f': ['GatherElements'],
  'fi>l': ['ArgMax', 'ArgMin'],
  'fi>b': ['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'],
  b: ['And', 'Not'],
  'bfi>fi': ['Where'],
  'fib>fibul': ['Cast'],
  'f>fl': ['TopK'],
  'l>fil': ['ConstantOfShape', 'Range'],
};
const TYPES = new Map(
  Object.entries(BY_TYPES).flatMap(([types, operators]) => operators.map((operator) => [operator, types])),
);

/** What the provider takes and then gets wrong, or refuses when it runs. Each was seen with onnxruntime 1.30. */
const REFUSED: Readonly<Record<string, (node: Node, graph: TypedGraph) => string | false>> = {
  BatchNormalization: (node) =>
    intAttribute(node, 'training_mode', 0) === 1 && 'with the statistics of the batch does not run there',
  Conv: (node, graph) =>
    spatialAxes(node, graph) > 2 &&
    intAttribute(node, 'group', 1) > 1 &&
    '3-D convolution in groups does not run there',
  ConvTranspose: (node, graph) => {
    if (spatialAxes(node, graph) > 2) return '3-D transposed convolution does not run there';
    const [channels = 0, results] = graph.types.get(node.inputs[1]!)!.shape;
    const groups = intAttribute(node, 'group', 1);
    return (
      groups > 1 &&
      results === 1 &&
      channels > groups &&
      'groups of several channels into one are summed wrongly there'
    );
  },
  MaxPool: (node) => node.outputs[1] !== undefined && node.outputs[1] !== '' && 'it gives no indices there',
  Pad: (node) => stringAttribute(node, 'mode', 'constant') === 'wrap' && 'wraps wrongly there',
  SimplifiedLayerNormalization: (node) => node.outputs.length > 1 && 'it gives wrong statistics there',
  ...Object.fromEntries(
    ['ReduceL1', 'ReduceL2', 'ReduceLogSum', 'ReduceLogSumExp', 'ReduceSumSquare'].map((operator) => [
      operator,
      (node: Node, graph: TypedGraph) =>
        intAttribute(node, 'noop_with_empty_axes', 0) === 1 &&
        withoutAxes(node, graph) &&
        'without axes it does nothing there',
    ]),
  ),
};

function spatialAxes(node: Node, graph: TypedGraph): number {
  return graph.types.get(node.inputs[0]!)!.shape.length - 2;
}

function withoutAxes(node: Node, graph: TypedGraph): boolean {
  const axes = node.inputs[1] ? graph.types.get(node.inputs[1])!.shape : [0];
  return axes[0] === 0 && intsAttribute(node, 'axes') === undefined;
}

/**
 * The nodes of a graph that onnxruntime would not run on a device of the kind but on the host's CPU, by the graph that
 * the engine makes of it: a node that was written in several has their names (`NODE/OPERATOR`). Loads nothing.
 */
export function unsupportedNodes(graph: TypedGraph, device: DeviceKind): readonly Fallback[] {
  return device === 'webgpu' ? fallbacksOf(lowerFor('webgpu', graph)) : [];
}

/** The same for a graph that `lowerFor('webgpu')` has made. */
export function fallbacksOf(lowered: TypedGraph): readonly Fallback[] {
  return lowered.nodes.flatMap((node) => {
    const reason = whyNot(node, lowered);
    return reason === undefined ? [] : [{ node: node.name, operator: node.operator, reason }];
  });
}

/** Operators that run on a device of the kind, with the operands that training graphs give them. */
export function operatorsOf(kind: DeviceKind): readonly string[] | 'all' {
  return kind === 'webgpu' ? [...new Set([...TYPES.keys(), ...writtenOut])].sort() : 'all';
}

function whyNot(node: Node, graph: TypedGraph): string | undefined {
  const types = node.domain === '' ? TYPES.get(node.operator) : undefined;
  if (types === undefined) return `WebGPU has no ${node.operator}`;
  const [operands = '', given] = types.split('>');
  const [data = '', more = ''] = operands.split(',');
  const results = given ?? data;
  const unfit = (names: readonly string[], letters: string) =>
    names.find((name) => {
      if (name === '') return false;
      const { dtype } = graph.types.get(name)!;
      // integers that are known say shapes, axes and ranges: those are read on the host
      if (dtype === 'int64' && graph.constants.has(name)) return false;
      return !letters.includes(LETTERS[dtype] ?? '?');
    });
  const [first = '', ...others] = node.inputs;
  const name = unfit([first], data) ?? unfit(others, data + more) ?? unfit(node.outputs, results);
  if (name !== undefined) return `WebGPU has no ${node.operator} of ${graph.types.get(name)!.dtype}`;
  const refusal = REFUSED[node.operator]?.(node, graph);
  return typeof refusal === 'string' ? `${node.operator}: ${refusal}` : undefined;
}
