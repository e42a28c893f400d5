import t, { type Test } from 'tap';
import { create, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import {
  bindGraph,
  buildEvaluationGraph,
  buildTrainingGraph,
  ModelError,
  readModel,
  standardOperators,
  tensorOf,
  toReference,
  withParameters,
  writeTypedGraph,
  type Tensor,
} from '../../../graph/index.js';
import { isDecomposed } from '../../../graph/decompose/index.js';
import { ModelProtoSchema, type FunctionProtoSchema } from '../../../graph/onnx/gen/onnx_pb.js';
import { distance, runModel } from '../../property/graph/onnxruntime.js';
import { float, int, ints, node, tensor, value, type GraphInit, type NodeInit } from './file.js';

type FunctionInit = MessageInitShape<typeof FunctionProtoSchema>;

const DOMAIN = 'pkg.test';
const call = (name: string, input: string[], output: string[], attribute: NodeInit['attribute'] = []) => ({
  ...node(name, input, output, attribute),
  domain: DOMAIN,
});

function define(name: string, more: FunctionInit, opset = 18): FunctionInit {
  return {
    domain: DOMAIN,
    name,
    opsetImport: [
      { domain: '', version: BigInt(opset) },
      { domain: DOMAIN, version: 1n },
    ],
    ...more,
  };
}

function model(graph: GraphInit, functions: FunctionInit[], opset = 20): Uint8Array {
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: 9n,
      producerName: 'pytorch',
      opsetImport: [
        { domain: '', version: BigInt(opset) },
        { domain: DOMAIN, version: 1n },
      ],
      graph: { name: 'g', ...graph },
      functions,
    }),
  );
}

const around = (nodes: NodeInit[], more: GraphInit = {}): GraphInit => ({
  node: nodes,
  input: [value('x', ['n', 3])],
  output: [value('y', ['n', 3])],
  ...more,
});

const X = tensorOf('float32', [2, 3], [0.5, -1, 2, 3, -0.25, 0.125]);

/** Our graph of the file in onnxruntime gives what onnxruntime makes of the file itself. */
async function sameAsFile(t: Test, bytes: Uint8Array, x: Tensor = X): Promise<void> {
  const { graph } = readModel(bytes);
  const typed = bindGraph(graph, { batch: x.shape[0]! });
  const expected = await runModel(bytes, new Map([['x', x]]));
  const found = await runModel(writeTypedGraph(typed), new Map([['x', x], ...graph.parameters]));
  for (const [name, result] of expected) {
    t.ok(distance(found.get(name)!, result) < 1e-6, name);
    t.same(found.get(name)!.shape, result.shape);
  }
}
const reference = (name: string, to: string, type: number) => ({ name, refAttrName: to, type });

t.test('calls are written out: nested, with attributes, defaults and omitted inputs', async (t) => {
  const functions = [
    define('Leaky', {
      input: ['v'],
      output: ['r'],
      attributeProto: [float('slope', 0.25)],
      node: [node('LeakyRelu', ['v'], ['r'], [reference('alpha', 'slope', 1)])],
    }),
    define('Bounded', {
      input: ['v', 'low', 'high'],
      output: ['r', 'unused'],
      attribute: ['slope'],
      node: [
        node('Clip', ['v', 'low', 'high'], ['r']),
        call('Leaky', ['r'], ['unused'], [reference('slope', 'slope', 1)]),
      ],
    }),
    define('Block', {
      input: ['v', 'w'],
      output: ['out', 'same'],
      attribute: ['slope'],
      node: [
        node('Constant', [], ['low'], [float('value_float', -0.5)]),
        { ...node('MatMul', ['v', 'w'], ['hidden']), name: 'linear' },
        call('Leaky', ['hidden'], ['a'], [reference('slope', 'slope', 1)]),
        call('Bounded', ['a', 'low', ''], ['out', '']),
        node('Identity', ['v'], ['same']),
      ],
    }),
  ];
  const bytes = model(
    around(
      [
        { ...call('Block', ['x', 'w'], ['h', ''], [float('slope', 0.5)]), name: 'first' },
        { ...call('Block', ['h', 'w'], ['k', 'h2']), name: 'second' },
        node('Add', ['k', 'h2'], ['y']),
      ],
      { initializer: [tensor('w', [3, 3], [1, 2, 3, -4, 5, 6, 7, -8, 9])] },
    ),
    functions,
  );
  const { graph } = readModel(bytes);
  t.same([...graph.parameters.keys()], ['w']);
  t.ok(graph.nodes.some(({ name }) => name === 'first/linear'));
  t.ok(graph.nodes.some(({ outputs }) => outputs.includes('second/hidden')));
  t.ok(graph.nodes.every(({ domain }) => domain === ''));
  const leaky = graph.nodes.filter(({ operator }) => operator === 'LeakyRelu');
  t.same(
    leaky.map(({ name, attributes }) => [name.split('/')[0], attributes['alpha']]),
    [
      ['first', { kind: 'float', value: 0.5 }],
      ['first', { kind: 'float', value: 0.25 }],
      ['second', { kind: 'float', value: 0.25 }],
      ['second', { kind: 'float', value: 0.25 }],
    ].slice(0, leaky.length),
  );
  await sameAsFile(t, bytes);
  const training = buildTrainingGraph(graph, { loss: 'mse', batch: 2 });
  t.same([...training.gradients.keys()], ['w']);
  const again = readModel(withParameters(readModel(bytes), new Map(graph.parameters)));
  t.equal(again.proto.functions.length, 3, 'the exported model keeps its functions');
});

t.test('a function is read in its own opset', (t) => {
  const total = (opset: number): FunctionInit =>
    define(
      'Total',
      { input: ['v'], output: ['r'], node: [node('ReduceSum', ['v'], ['r'], [ints('axes', 1)])] },
      opset,
    );
  const functions = [total(11)];
  const bytes = model(around([call('Total', ['x'], ['s']), node('Mul', ['x', 's'], ['y'])]), functions);
  const { graph } = readModel(bytes);
  const sum = graph.nodes.find(({ operator }) => operator === 'ReduceSum')!;
  t.same(toReference(graph.constants.get(sum.inputs[1]!)!).data, new Float64Array([1]));
  t.throws(() => readModel(model(around([call('Total', ['x'], ['y'])]), [total(3)])), {
    message: /written in opset 3/,
  });
  t.equal(bindGraph(graph, { batch: 2 }).nodes.length, 2);
  t.end();
});

t.test('a function may hand an input through, and give one value twice', async (t) => {
  const functions = [
    define('Twice', { input: ['v'], output: ['v', 'n', 'n'], node: [node('Neg', ['v'], ['n'])] }),
  ];
  await sameAsFile(
    t,
    model(around([call('Twice', ['x'], ['a', 'b', 'c']), node('Sum', ['a', 'b', 'c'], ['y'])]), [
      define('Twice', {
        input: ['v'],
        output: ['w', 'n', 'm'],
        node: [node('Identity', ['v'], ['w']), node('Neg', ['v'], ['n']), node('Identity', ['n'], ['m'])],
      }),
    ]),
  );
  const { graph } = readModel(
    model(around([call('Twice', ['x'], ['a', 'b', 'c']), node('Sum', ['a', 'b', 'c'], ['y'])]), functions),
  );
  t.equal(bindGraph(graph, { batch: 2 }).nodes.length, 2);
  t.end();
});

t.test('a model may define an operator that dtrain knows: the definition counts', (t) => {
  const { graph } = readModel(
    model(around([{ ...node('Gelu', ['x'], ['y']), domain: 'com.microsoft' }]), [
      {
        ...define('Gelu', { input: ['v'], output: ['r'], node: [node('Neg', ['v'], ['r'])] }),
        domain: 'com.microsoft',
      },
    ]),
  );
  t.same(
    graph.nodes.map(({ operator }) => operator),
    ['Neg'],
  );
  t.end();
});

/** Functions that each call the one before twice: 2^count nodes from a few kilobytes. */
const doubling = (count: number): FunctionInit[] =>
  Array.from({ length: count }, (_, i) =>
    define(`f${i}`, {
      input: ['v'],
      output: ['r'],
      node:
        i === 0
          ? [node('Neg', ['v'], ['m']), node('Neg', ['m'], ['r'])]
          : [call(`f${i - 1}`, ['v'], ['m']), call(`f${i - 1}`, ['m'], ['r'])],
    }),
  );
const chain = (count: number): FunctionInit[] =>
  Array.from({ length: count }, (_, i) =>
    define(`f${i}`, {
      input: ['v'],
      output: ['r'],
      node: [i === 0 ? node('Neg', ['v'], ['r']) : call(`f${i - 1}`, ['v'], ['r'])],
    }),
  );

const REFUSED: readonly (readonly [string, NodeInit[], FunctionInit[], RegExp])[] = [
  [
    'itself',
    [call('f', ['x'], ['y'])],
    [define('f', { input: ['v'], output: ['r'], node: [call('f', ['v'], ['r'])] })],
    /node "f:r" \(f\) is a call of the function "pkg\.test\.f" from within itself/,
  ],
  [
    'a circle of three',
    [call('a', ['x'], ['y'])],
    ['b', 'c', 'a'].map((next, i) =>
      define('abc'[i]!, { input: ['v'], output: ['r'], node: [call(next, ['v'], ['r'])] }),
    ),
    /from within itself/,
  ],
  [
    '2^60 nodes',
    [call('f59', ['x'], ['y'])],
    doubling(60),
    /with node "f59:y" \(f59\) written out the model has more than 200000 nodes/,
  ],
  ['a deep chain', [call('f99', ['x'], ['y'])], chain(100), /at most 64 would be accepted/],
  [
    'two of one name',
    [call('f', ['x'], ['y'])],
    [define('f', { node: [] }), define('f', { node: [] })],
    /"pkg\.test\.f" is defined twice/,
  ],
  [
    'too many inputs',
    [call('f', ['x', 'x'], ['y'])],
    [define('f', { input: ['v'], output: ['r'], node: [node('Neg', ['v'], ['r'])] })],
    /with 2 inputs for 1 outputs; at most 1 and 1/,
  ],
  [
    'an undefined name',
    [call('f', ['x'], ['y'])],
    [define('f', { input: ['v'], output: ['r'], node: [node('Neg', ['x'], ['r'])] })],
    /node "f:y\/Neg:r" \(Neg\) reads "x", which nothing in the function "pkg\.test\.f" gives/,
  ],
  [
    'an output that nothing gives',
    [call('f', ['x'], ['y'])],
    [define('f', { input: ['v'], output: ['r'], node: [node('Neg', ['v'], ['q'])] })],
    /reads "r", which nothing in the function/,
  ],
  [
    'an omitted input handed through',
    [call('f', [''], ['y'])],
    [define('f', { input: ['v'], output: ['v'], node: [] })],
    /omits the input that output 0/,
  ],
  [
    'a name given twice',
    [call('f', ['x'], ['y'])],
    [
      define('f', {
        input: ['v'],
        output: ['r'],
        node: [node('Neg', ['v'], ['r']), node('Abs', ['v'], ['r'])],
      }),
    ],
    /"r" is given twice in the function/,
  ],
  [
    'a reference of another kind',
    [call('f', ['x'], ['y'], [int('a', 1)])],
    [
      define('f', {
        input: ['v'],
        output: ['r'],
        node: [node('Elu', ['v'], ['r'], [reference('alpha', 'a', 1)])],
      }),
    ],
    /attribute "alpha" of node "f:y\/Elu:r" refers to "a", which is of kind 2 where 1 is declared/,
  ],
  [
    'a reference outside of a function',
    [node('Elu', ['x'], ['y'], [reference('alpha', 'a', 1)])],
    [],
    /refers to the attribute "a" of a function, and is in none/,
  ],
  [
    'a custom operator',
    [call('g', ['x'], ['y'])],
    [],
    /node "g:y" is pkg\.test\.g.*own-operators\.md.*function/,
  ],
  [
    'ai.onnx.ml',
    [{ ...node('Scaler', ['x'], ['y']), domain: 'ai.onnx.ml' }],
    [],
    /classical models.*export the network alone/,
  ],
  [
    'ATen',
    [{ ...node('ATen', ['x'], ['y']), domain: 'org.pytorch.aten' }],
    [],
    /PyTorch wrote it because its exporter knew no ONNX operator/,
  ],
  [
    'an unknown fusion',
    [{ ...node('FusedNothing', ['x'], ['y']), domain: 'com.microsoft' }],
    [],
    /onnxruntime's optimizer wrote it/,
  ],
];

for (const [what, nodes, functions, message] of REFUSED) {
  t.test(`refuses ${what}`, (t) => {
    const started = performance.now();
    t.throws(() => readModel(model(around(nodes), functions)), { constructor: ModelError, message });
    t.ok(performance.now() - started < 1000, 'at once');
    t.end();
  });
}

t.test('operators of other domains that dtrain knows are read, and never reach an engine', (t) => {
  const foreign = standardOperators.all().filter(({ domain }) => domain !== '');
  t.ok(foreign.length > 0);
  for (const { operator, domain } of foreign)
    t.ok(isDecomposed({ operator, domain }), `${domain}.${operator}`);
  const bytes = model(
    around(
      [{ ...node('QuickGelu', ['x'], ['h']), domain: 'com.microsoft' }, node('MatMul', ['h', 'w'], ['y'])],
      {
        initializer: [tensor('w', [3, 3], [1, 2, 3, -4, 5, 6, 7, -8, 9])],
      },
    ),
    [],
  );
  const { graph } = readModel(bytes);
  t.same(
    graph.nodes.map(({ operator, domain }) => [operator, domain]),
    [
      ['QuickGelu', 'com.microsoft'],
      ['MatMul', ''],
    ],
  );
  const options = { loss: 'mse' as const, batch: 2 };
  for (const { nodes } of [
    buildTrainingGraph(graph, options).graph,
    buildEvaluationGraph(graph, options).graph,
  ]) {
    t.ok(nodes.every(({ domain }) => domain === ''));
  }
  t.end();
});
