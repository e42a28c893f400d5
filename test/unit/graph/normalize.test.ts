import t from 'tap';
import { bindGraph, evaluate, readModel, toReference, tensorOf, type Graph } from '../../../graph/index.js';
import { runModel } from '../../property/graph/onnxruntime.js';
import {
  file,
  float,
  floats,
  int,
  ints,
  node,
  tensor,
  value,
  type NodeInit,
  type TensorInit,
} from './file.js';

interface Old {
  readonly what: string;
  readonly opset: number;
  readonly shape: readonly number[];
  readonly nodes: readonly NodeInit[];
  readonly initializers?: readonly TensorInit[];
  /** Operators that the bound graph has afterwards. */
  readonly becomes: readonly string[];
}

/** Nodes in the form of older opsets; onnxruntime still runs all of these. */
const CASES: readonly Old[] = [
  {
    what: 'Squeeze',
    opset: 11,
    shape: [1, 3, 1],
    nodes: [node('Squeeze', ['x'], ['y'], [ints('axes', 0, -1)])],
    becomes: ['Squeeze'],
  },
  {
    what: 'Unsqueeze',
    opset: 11,
    shape: [3],
    nodes: [node('Unsqueeze', ['x'], ['y'], [ints('axes', 0, 2)])],
    becomes: ['Unsqueeze'],
  },
  {
    what: 'ReduceSum',
    opset: 11,
    shape: [2, 3],
    nodes: [node('ReduceSum', ['x'], ['y'], [ints('axes', 1), int('keepdims', 0)])],
    becomes: ['ReduceSum'],
  },
  {
    what: 'ReduceMean',
    opset: 17,
    shape: [2, 3],
    nodes: [node('ReduceMean', ['x'], ['y'], [ints('axes', -1)])],
    becomes: ['ReduceMean'],
  },
  {
    what: 'Split',
    opset: 12,
    shape: [5],
    nodes: [
      node('Split', ['x'], ['a', 'b'], [ints('split', 2, 3)]),
      node('Concat', ['b', 'a'], ['y'], [int('axis', 0)]),
    ],
    becomes: ['Split', 'Concat'],
  },
  {
    what: 'an even Split',
    opset: 13,
    shape: [4],
    nodes: [node('Split', ['x'], ['a', 'b']), node('Sub', ['b', 'a'], ['y'])],
    becomes: ['Split', 'Sub'],
  },
  {
    what: 'Slice',
    opset: 9,
    shape: [5],
    nodes: [
      node(
        'Slice',
        ['x'],
        ['y'],
        [ints('starts', 1), ints('ends', Number.MAX_SAFE_INTEGER), ints('axes', 0)],
      ),
    ],
    becomes: ['Slice'],
  },
  {
    what: 'Pad',
    opset: 10,
    shape: [2, 2],
    nodes: [node('Pad', ['x'], ['y'], [ints('pads', 0, 1, 1, 0), float('value', 5)])],
    becomes: ['Pad'],
  },
  {
    what: 'Clip',
    opset: 10,
    shape: [4],
    nodes: [node('Clip', ['x'], ['y'], [float('min', -0.5), float('max', 1)])],
    becomes: ['Clip'],
  },
  {
    what: 'Clip with one bound',
    opset: 7,
    shape: [4],
    nodes: [node('Clip', ['x'], ['y'], [float('max', 1)])],
    becomes: ['Clip'],
  },
  {
    what: 'Dropout, which then predicted',
    opset: 10,
    shape: [4],
    nodes: [node('Dropout', ['x'], ['d'], [float('ratio', 0.9)]), node('Neg', ['d'], ['y'])],
    becomes: ['Neg'],
  },
  {
    what: 'TopK',
    opset: 9,
    shape: [2, 4],
    nodes: [node('TopK', ['x'], ['y', 'places'], [int('k', 2)])],
    becomes: ['TopK'],
  },
  {
    what: 'Softmax over flattened axes',
    opset: 11,
    shape: [2, 2, 3],
    nodes: [node('Softmax', ['x'], ['y'])],
    becomes: ['Flatten', 'Softmax', 'Reshape'],
  },
  {
    what: 'LogSoftmax on the last axis',
    opset: 9,
    shape: [2, 3],
    nodes: [node('LogSoftmax', ['x'], ['y'], [int('axis', -1)])],
    becomes: ['LogSoftmax'],
  },
  {
    what: 'Hardmax',
    opset: 11,
    shape: [2, 3],
    nodes: [node('Hardmax', ['x'], ['y'], [int('axis', 1)])],
    becomes: ['Flatten', 'Hardmax', 'Reshape'],
  },
  {
    what: 'BatchNormalization',
    opset: 9,
    shape: [2, 2, 2],
    nodes: [node('BatchNormalization', ['x', 's', 's', 'm', 's'], ['y'])],
    initializers: [tensor('s', [2], [1, 2]), tensor('m', [2], [0.5, -1])],
    becomes: ['BatchNormalization'],
  },
  {
    what: 'GroupNormalization with a scale for each group',
    opset: 18,
    shape: [2, 4, 3],
    nodes: [node('GroupNormalization', ['x', 's', 'b'], ['y'], [int('num_groups', 2)])],
    initializers: [tensor('s', [2], [1, 2]), tensor('b', [2], [0.5, -1])],
    becomes: ['Reshape', 'Expand', 'Reshape', 'Reshape', 'Expand', 'Reshape', 'GroupNormalization'],
  },
  {
    what: 'Scatter',
    opset: 9,
    shape: [3],
    nodes: [node('Cast', ['x'], ['i'], [int('to', 7)]), node('Scatter', ['x', 'i', 'x'], ['y'])],
    becomes: ['Cast', 'ScatterElements'],
  },
  {
    what: 'Constants of every form',
    opset: 13,
    shape: [2],
    nodes: [
      node('Constant', [], ['a'], [float('value_float', 2)]),
      node('Constant', [], ['b'], [floats('value_floats', 1, 3)]),
      node('Constant', [], ['c'], [int('value_int', 4)]),
      node('Constant', [], ['d'], [ints('value_ints', 5, 6)]),
      node('Constant', [], ['e'], [{ name: 'value', type: 4, t: tensor('', [1], [7]) }]),
      node('Add', ['c', 'd'], ['cd']),
      node('Cast', ['cd'], ['f'], [int('to', 1)]),
      node('Sum', ['x', 'a', 'b', 'e', 'f'], ['y']),
    ],
    becomes: ['Sum'],
  },
];

for (const { what, opset, shape, nodes, initializers, becomes } of CASES) {
  t.test(`${what} of opset ${opset} keeps its meaning`, async (t) => {
    const bytes = file(
      {
        node: [...nodes],
        input: [value('x', shape)],
        output: [{ name: 'y' }],
        initializer: [...(initializers ?? [])],
      },
      opset,
    );
    const size = shape.reduce((product, dim) => product * dim, 1);
    const x = tensorOf(
      'float32',
      shape,
      Float32Array.from({ length: size }, (_, i) => ((i * 7) % 5) - 1.75 + i / 8),
    );
    const scatter = what === 'Scatter';
    const given = scatter ? tensorOf('float32', [3], [2, 0, 1]) : x;
    const { graph } = readModel(bytes);
    const bound = bindGraph(graph);
    t.same(
      bound.nodes.map(({ operator }) => operator),
      becomes,
    );
    const ours = evaluate(bound, values(graph, given)).get('y')!;
    const theirs = (await runModel(bytes, new Map([['x', given]]))).get('y')!;
    t.same(ours.shape, theirs.shape);
    ours.data.forEach((number, i) =>
      t.ok(Math.abs(number - theirs.data[i]!) < 1e-6, `${number} ~ ${theirs.data[i]!}`),
    );
  });
}

function values(
  graph: Graph,
  x: Parameters<typeof toReference>[0],
): Map<string, ReturnType<typeof toReference>> {
  return new Map([
    ['x', toReference(x)],
    ...[...graph.parameters].map(([name, tensor]) => [name, toReference(tensor)] as const),
  ]);
}

t.test('training BatchNormalization of an old opset says so in an attribute', (t) => {
  const bytes = file(
    {
      node: [node('BatchNormalization', ['x', 's', 's', 'm', 'v'], ['y', 'm2', 'v2', 'm3', 'v3'])],
      input: [value('x', [2, 2])],
      output: [{ name: 'y' }],
      initializer: ['s', 'm', 'v'].map((name) => tensor(name, [2], [1, 2])),
    },
    9,
  );
  const { graph } = readModel(bytes);
  t.same(graph.nodes[0]!.attributes['training_mode'], { kind: 'int', value: 1 });
  t.same(graph.nodes[0]!.outputs, ['y', 'm2', 'v2']);
  t.same([...graph.parameters.keys()], ['s'], 'running statistics are not parameters');
  t.end();
});
