import t from 'tap';
import {
  attribute,
  bindGraph,
  BindingError,
  evaluate,
  int64s,
  readModel,
  scalar,
  ShapeError,
  tensorOf,
  toReference,
  UnsupportedOperatorError,
  type Graph,
  type Node,
  type Tensor,
  type ValueInfo,
} from '../../../graph/index.js';
import { file, float, int, ints, node as fileNode, tensor, value, type NodeInit } from './file.js';

function node(
  operator: string,
  inputs: string[],
  outputs: string[],
  attributes: Node['attributes'] = {},
): Node {
  return { name: `${operator}:${outputs[0]!}`, operator, domain: '', inputs, outputs, attributes };
}

const float32 = (name: string, shape: ValueInfo['shape']): ValueInfo => ({ name, dtype: 'float32', shape });

function graphOf(parts: {
  inputs: ValueInfo[];
  outputs?: ValueInfo[];
  nodes: Node[];
  constants?: Record<string, Tensor>;
  parameters?: Record<string, Tensor>;
}): Graph {
  return {
    name: 'g',
    inputs: parts.inputs,
    outputs: parts.outputs ?? [float32('y', ['batch'])],
    nodes: parts.nodes,
    constants: new Map(Object.entries(parts.constants ?? {})),
    parameters: new Map(Object.entries(parts.parameters ?? {})),
  };
}

t.test('shape arithmetic folds away', (t) => {
  const typed = bindGraph(
    graphOf({
      inputs: [float32('x', ['batch', 4, 6])],
      nodes: [
        node('Shape', ['x'], ['s']),
        node('Gather', ['s', 'zero'], ['b']),
        node('Unsqueeze', ['b', 'axes'], ['b1']),
        node('Concat', ['b1', 'rest'], ['target'], { axis: attribute.int(0) }),
        node('Reshape', ['x', 'target'], ['y']),
      ],
      constants: { zero: scalar('int64', 0), axes: int64s([0]), rest: int64s([-1]) },
    }),
    { batch: 3 },
  );
  t.same(
    typed.nodes.map(({ operator }) => operator),
    ['Reshape'],
  );
  t.same(typed.types.get('y'), { dtype: 'float32', shape: [3, 24] });
  t.same([...typed.constants.keys()], ['target'], 'only what is used is kept');
  t.end();
});

t.test('parameters are never folded; constants of any kind are, unless they would grow huge', (t) => {
  const typed = bindGraph(
    graphOf({
      inputs: [float32('x', ['batch', 2])],
      nodes: [
        node('Mul', ['w', 'two'], ['w2']),
        node('Sqrt', ['two'], ['root']),
        node('Add', ['w2', 'root'], ['v']),
        node('Expand', ['two', 'large'], ['big']),
        node('ReduceSum', ['big'], ['total'], { keepdims: attribute.int(0) }),
        node('Mul', ['v', 'total'], ['u']),
        node('Add', ['x', 'u'], ['y']),
      ],
      constants: { two: tensorOf('float32', [1], [4]), large: int64s([1000, 1000]) },
      parameters: { w: tensorOf('float32', [2], [1, 2]) },
    }),
    { batch: 1 },
  );
  t.same(
    typed.nodes.map(({ operator }) => operator),
    ['Mul', 'Add', 'Expand', 'ReduceSum', 'Mul', 'Add'],
  );
  t.same([...typed.constants.get('root')!.data], [2]);
  t.notOk(typed.constants.has('big'));
  t.same([...typed.parameters], [['w', { dtype: 'float32', shape: [2] }]]);
  t.end();
});

t.test('identities, quiet dropouts and dead nodes are gone', (t) => {
  const typed = bindGraph(
    graphOf({
      inputs: [float32('x', ['batch', 2])],
      nodes: [
        node('Identity', ['x'], ['a']),
        node('Dropout', ['a', 'half'], ['b', 'mask']),
        node('Dropout', ['b', 'half', 'off'], ['c']),
        node('Exp', ['dead'], ['e']),
        node('Neg', ['c'], ['y']),
      ],
      constants: { half: scalar('float32', 0.5), off: scalar('bool', 0) },
      parameters: { dead: tensorOf('float32', [1], [1]) },
    }),
    { batch: 2 },
  );
  t.same(
    typed.nodes.map(({ operator, inputs }) => [operator, inputs]),
    [['Neg', ['x']]],
  );
  t.same([...typed.parameters.keys()], [], 'a parameter that no output needs is not trained');
  t.end();
});

t.test('a dropout in training mode stays', (t) => {
  const typed = bindGraph(
    graphOf({
      inputs: [float32('x', ['batch', 2])],
      nodes: [node('Dropout', ['x', 'half', 'on'], ['y'])],
      constants: { half: scalar('float32', 0.5), on: scalar('bool', 1) },
    }),
    { batch: 2 },
  );
  t.same(
    typed.nodes.map(({ operator }) => operator),
    ['Dropout'],
  );
  t.end();
});

t.test('outputs keep their names and are computed by nodes', (t) => {
  const typed = bindGraph(
    graphOf({
      inputs: [float32('x', ['batch', 2])],
      outputs: [float32('y', []), { name: 's', dtype: 'int64', shape: [2] }],
      nodes: [node('Identity', ['x'], ['y']), node('Shape', ['x'], ['s'])],
    }),
    { batch: 2 },
  );
  t.same(typed.outputs, ['y', 's']);
  t.same(
    typed.nodes.map(({ operator, outputs }) => [operator, ...outputs]),
    [
      ['Identity', 'y'],
      ['Identity', 's'],
    ],
  );
  const x = toReference(tensorOf('float32', [2, 2], [1, 2, 3, 4]));
  t.same([...evaluate(typed, new Map([['x', x]])).get('s')!.data], [2, 2]);
  t.end();
});

t.test('which dimensions the batch binds', (t) => {
  const sum = (inputs: ValueInfo[]): Graph =>
    graphOf({
      inputs,
      nodes: [
        node(
          'Sum',
          inputs.map(({ name }) => name),
          ['y'],
        ),
      ],
    });
  const shapes = (graph: Graph, ...binding: [Parameters<typeof bindGraph>[1]]): unknown => {
    const typed = bindGraph(graph, ...binding);
    return typed.inputs.map((name) => typed.types.get(name)!.shape);
  };
  t.same(shapes(sum([float32('x', ['n', 2]), float32('z', ['n', 1])]), { batch: 5 }), [
    [5, 2],
    [5, 1],
  ]);
  t.same(
    shapes(sum([float32('x', ['n', 2]), float32('table', [1, 2])]), { batch: 5 }),
    [
      [5, 2],
      [1, 2],
    ],
    'a static first dimension beside a symbol is no batch',
  );
  t.same(shapes(sum([float32('x', [3, 2]), float32('z', [3, 2]), float32('table', [1, 2])]), { batch: 5 }), [
    [5, 2],
    [5, 2],
    [1, 2],
  ]);
  t.same(shapes(sum([float32('x', [3, 2])]), {}), [[3, 2]]);
  t.same(
    shapes(sum([float32('x', ['n', 't']), float32('z', ['n', 't'])]), { batch: 5, shapes: { z: [5, 7] } }),
    [
      [5, 7],
      [5, 7],
    ],
    'symbols are shared',
  );
  const wrong: readonly (readonly [Graph, Parameters<typeof bindGraph>[1], RegExp])[] = [
    [
      sum([float32('x', ['n', 2])]),
      {},
      /dimension 0 \("n"\) of input "x" \(float32\[n,2\]\) is not known; give a batch or the shape/,
    ],
    [sum([float32('x', ['n', 't'])]), { batch: 2 }, /dimension 1 \("t"\) of input "x"/],
    [sum([float32('x', ['n', 2])]), { batch: 0 }, /batch is 0; a positive integer/],
    [sum([float32('x', ['n', 2])]), { shapes: { q: [1] } }, /no input "q"; its inputs are x/],
    [
      sum([float32('x', ['n', 2])]),
      { shapes: { x: [1, 3] } },
      /"x" is given the shape \[1, 3\]; the model declares float32\[n,2\]/,
    ],
    [
      sum([float32('x', ['n', 't']), float32('z', ['n', 't'])]),
      { shapes: { x: [1, 3], z: [1, 4] } },
      /makes "t" 4, and another input makes it 3/,
    ],
  ];
  for (const [graph, binding, message] of wrong)
    t.throws(() => bindGraph(graph, binding), { constructor: BindingError, message });
  t.end();
});

t.test('a batch that the exporter baked into the graph', (t) => {
  const reshaped = (target: number[], declared: ValueInfo['shape']): Graph =>
    graphOf({
      inputs: [float32('x', declared)],
      outputs: [float32('y', [declared[0]!, 3])],
      nodes: [node('Reshape', ['x', 'target'], ['y'])],
      constants: { target: int64s(target) },
    });
  t.throws(() => bindGraph(reshaped([2, 3], ['batch', 3]), { batch: 4 }), {
    constructor: ShapeError,
    message:
      /fits a batch of 2 only, and not the share of 4 that was tried\. Export the model with a dynamic batch: .*dynamic_axes/,
  });
  t.throws(() => bindGraph(reshaped([2, -1], ['batch', 3]), { batch: 4 }), {
    constructor: BindingError,
    message: /the output "y" has 2 rows/,
  });
  const added = graphOf({
    inputs: [float32('x', [2, 3])],
    nodes: [node('Add', ['x', 'c'], ['y'])],
    constants: { c: tensorOf('float32', [2, 1], [1, 2]) },
  });
  t.throws(() => bindGraph(added, { batch: 4 }), {
    constructor: ShapeError,
    message:
      /do not broadcast to one\. The file was exported for a batch of 2 and does not take the share of 4 that was tried/,
  });
  t.throws(
    () => bindGraph(added, { shapes: { x: [4, 3] } }),
    { message: /exported for a batch of 2 and does not take the share of 4/ },
    'so where the data tells the shapes',
  );
  t.same(bindGraph(added, { batch: 2 }).types.get('y')?.shape, [2, 3]);
  t.end();
});

t.test('operators without a definition are listed all at once', (t) => {
  const graph = graphOf({
    inputs: [float32('x', ['batch'])],
    nodes: [node('Foo', ['x'], ['a']), node('Bar', ['a'], ['b']), node('Foo', ['b'], ['y'])],
  });
  t.throws(() => bindGraph(graph, { batch: 2 }), {
    constructor: UnsupportedOperatorError,
    message: /^no definition for Foo \(Foo:a, Foo:y\); Bar \(Bar:b\)\. Operators that .*operators\.md/,
  });
  t.end();
});

t.test('operands that do not fit name the node and what would', (t) => {
  const bind = (bad: Node, shape: ValueInfo['shape'], constants: Record<string, Tensor> = {}): unknown =>
    bindGraph(graphOf({ inputs: [float32('x', shape)], nodes: [bad], constants }));
  const table: readonly (readonly [Node, ValueInfo['shape'], Record<string, Tensor>, RegExp])[] = [
    [
      node('MatMul', ['x', 'c'], ['y']),
      [2, 3],
      { c: tensorOf('float32', [2, 2], [1, 2, 3, 4]) },
      /node "MatMul:y" \(MatMul\): cannot multiply float32\[2,3\] by float32\[2,2\]/,
    ],
    [
      node('Add', ['x', 'c'], ['y']),
      [2],
      { c: int64s([1, 2]) },
      /input 1 is int64\[2\] and input 0 is float32\[2\]/,
    ],
    [node('Add', ['x'], ['y']), [2], {}, /input 1 is missing; Add requires it/],
    [
      node('Softmax', ['x'], ['y'], { axis: attribute.int(2) }),
      [2, 2],
      {},
      /axis 2 is outside the 2 dimensions/,
    ],
    [node('Not', ['x'], ['y']), [2], {}, /float32\[2\]; it must have bool/],
    [
      node('Conv', ['x', 'c'], ['y']),
      [1, 1, 2],
      { c: tensorOf('float32', [1, 1, 3], [1, 2, 3]) },
      /spans 3 elements of axis 2, which has 2 and 0 of padding/,
    ],
    [node('Transpose', ['x'], ['y'], { perm: attribute.ints([0, 0]) }), [2, 2], {}, /an axis is named twice/],
    [node('Reshape', ['x', 'x'], ['y']), [2], {}, /input 1 is float32\[2\]; it must have a type of integers/],
  ];
  for (const [bad, shape, constants, message] of table)
    t.throws(() => bind(bad, shape, constants), { constructor: ShapeError, message });
  const dynamic = graphOf({
    inputs: [{ name: 's', dtype: 'int64', shape: [2] }],
    nodes: [node('ConstantOfShape', ['s'], ['y'])],
  });
  t.throws(() => bindGraph(dynamic), {
    constructor: ShapeError,
    message: /its shape \(input 0, "s"\) depends on data/,
  });
  t.end();
});

t.test('"to the end" survives folding exactly', (t) => {
  const end = { dtype: 'int64', shape: [], data: BigInt64Array.of(2n ** 63n - 1n) } as const;
  const typed = bindGraph(
    graphOf({
      inputs: [float32('x', [5])],
      nodes: [node('Unsqueeze', ['end', 'zero'], ['ends']), node('Slice', ['x', 'one', 'ends'], ['y'])],
      constants: { end, zero: int64s([0]), one: int64s([1]) },
    }),
  );
  t.same([...typed.constants.get('ends')!.data], [2n ** 63n - 1n]);
  t.same(typed.types.get('y')?.shape, [4]);
  t.end();
});

t.test('padding is in numbers when the shapes are', (t) => {
  const bytes = file({
    node: [
      fileNode(
        'Conv',
        ['x', 'w'],
        ['y'],
        [{ name: 'auto_pad', type: 3, s: new TextEncoder().encode('SAME_UPPER') }, ints('strides', 2)],
      ),
    ],
    input: [value('x', ['n', 1, 6])],
    output: [value('y', ['n', 1, 3])],
    initializer: [tensor('w', [1, 1, 3], [1, 2, 3])],
  });
  const [conv] = bindGraph(readModel(bytes).graph, { batch: 1 }).nodes;
  t.same(conv!.attributes, { strides: attribute.ints([2]), pads: attribute.ints([0, 1]) });
  t.end();
});

t.test('outputs that an operator must have keep their names, wanted or not', (t) => {
  const bytes = file({
    node: [
      fileNode('TopK', ['x', 'k'], ['largest', 'places']),
      fileNode('MaxPool', ['x'], ['pooled', 'where'], [ints('kernel_shape', 2)]),
      fileNode('Dropout', ['x'], ['same', 'mask']),
    ],
    input: [value('x', ['n', 1, 6])],
    output: [value('largest', ['n', 1, 2]), value('where', ['n', 1, 5], 7), value('same', ['n', 1, 6])],
    initializer: [{ name: 'k', dims: [1n], dataType: 7, int64Data: [2n] }],
  });
  const { nodes } = bindGraph(readModel(bytes).graph, { batch: 1 });
  t.same(nodes.map(({ outputs }) => outputs).slice(0, 2), [
    ['largest', 'places'],
    ['pooled', 'where'],
  ]);
  t.end();
});

t.test('a last window that only ceil_mode places has its padding in numbers', (t) => {
  const pads = (length: number, attributes: NonNullable<NodeInit['attribute']>, operator = 'MaxPool') => {
    const bytes = file({
      node: [fileNode(operator, ['x'], ['y'], [...attributes, int('ceil_mode', 1)])],
      input: [value('x', ['n', 1, length])],
      output: [value('y', ['n', 1, 'm'])],
    });
    const { attributes: found } = bindGraph(readModel(bytes).graph, { batch: 1 }).nodes[0]!;
    return [found['pads'], found['ceil_mode']];
  };
  const three = [ints('kernel_shape', 3), ints('strides', 2), ints('pads', 1, 1)];
  t.same(pads(6, three), [attribute.ints([1, 2]), undefined]);
  // one that would begin beyond the input is none
  const sparse = [ints('kernel_shape', 2), ints('strides', 3), ints('pads', 1, 1)];
  t.same(pads(4, sparse), [attribute.ints([1, 0]), undefined]);
  t.same(pads(6, three, 'AveragePool'), [attribute.ints([1, 2]), undefined]);
  // a mean over padding that was never declared is another mean
  const counting = [...three, int('count_include_pad', 1)];
  t.same(pads(6, counting, 'AveragePool'), [attribute.ints([1, 1]), attribute.int(1)]);
  t.same(pads(5, counting, 'AveragePool'), [attribute.ints([1, 1]), undefined]);
  t.end();
});

t.test('2,000 nodes are read and bound in well under a second', (t) => {
  const layers = Array.from({ length: 500 }, (_, i) => [
    fileNode('Shape', [`x${i}`], [`s${i}`]),
    fileNode('Reshape', [`x${i}`, `s${i}`], [`r${i}`]),
    fileNode('Gemm', [`r${i}`, 'w'], [`g${i}`], [float('alpha', 0.5), int('transB', 1)]),
    fileNode('Relu', [`g${i}`], [`x${i + 1}`]),
  ]).flat();
  const bytes = file({
    node: layers.toReversed(),
    input: [value('x0', ['n', 2])],
    output: [value('x500', ['n', 2])],
    initializer: [tensor('w', [2, 2], [1, 2, 3, 4])],
  });
  const started = performance.now();
  const typed = bindGraph(readModel(bytes).graph, { batch: 8 });
  const seconds = (performance.now() - started) / 1000;
  t.equal(typed.nodes.length, 1500);
  t.ok(seconds < 1, `${seconds.toFixed(3)} s`);
  t.end();
});
