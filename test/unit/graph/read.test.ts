import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { loadModel, readModel, tensorOf, withParameters, writeGraph } from '../../../graph/index.js';
import { repositoryRoot } from '../../root.js';
import { float, int, node, tensor, value, file, type GraphInit } from './file.js';

const add = (more: GraphInit): Uint8Array =>
  file({
    node: [node('Add', ['x', 'w'], ['y'])],
    input: [value('x', ['n', 2])],
    output: [value('y', ['n', 2])],
    ...more,
  });

t.test('nodes in any order come out in a topological one', (t) => {
  const { graph } = readModel(
    add({
      node: [node('Add', ['b', 'a'], ['y']), node('Neg', ['a'], ['b']), node('Add', ['x', 'w'], ['a'])],
      initializer: [tensor('w', [2], [1, 2])],
    }),
  );
  t.same(
    graph.nodes.map(({ outputs }) => outputs[0]),
    ['a', 'b', 'y'],
  );
  t.end();
});

t.test('initializers that old files also list as inputs are not inputs', (t) => {
  const { graph } = readModel(
    add({ initializer: [tensor('w', [2], [1, 2])], input: [value('x', ['n', 2]), value('w', [2])] }),
  );
  t.same(
    graph.inputs.map(({ name, shape }) => [name, shape]),
    [['x', ['n', 2]]],
  );
  t.same([...graph.parameters.keys()], ['w']);
  t.end();
});

t.test('a dimension without a value is a symbol of its own', (t) => {
  const { graph } = readModel(
    add({
      initializer: [tensor('w', [2], [1, 2])],
      input: [
        {
          name: 'x',
          type: {
            tensorType: { elemType: 1, shape: { dim: [{}, { value: { case: 'dimValue', value: -1n } }] } },
          },
        },
      ],
    }),
  );
  t.same(graph.inputs[0]!.shape, ['x_dim_0', 'x_dim_1']);
  t.end();
});

t.test('unnamed and equally named nodes get names of their own', (t) => {
  const { graph } = readModel(
    add({
      node: [
        { opType: 'Add', input: ['x', 'w'], output: ['a'] },
        { opType: 'Neg', name: 'same', input: ['a'], output: ['b'] },
        { opType: 'Neg', name: 'same', input: ['b'], output: ['y'] },
      ],
      initializer: [tensor('w', [2], [1, 2])],
    }),
  );
  t.same(
    graph.nodes.map(({ name }) => name),
    ['Add', 'same', 'same_1'],
  );
  t.end();
});

t.test('typed fields: 16-bit floats are bits, unsigned 32 bits lie in uint64_data', (t) => {
  const { graph } = readModel(
    add({
      node: [
        node('Add', ['x', 'h'], ['y']),
        node('Identity', ['u'], ['u2']),
        node('Identity', ['b'], ['b2']),
      ],
      input: [value('x', ['n', 2], 10)],
      output: [value('y', ['n', 2], 10), value('u2', [1], 12), value('b2', [2], 9)],
      initializer: [
        { name: 'h', dims: [2n], dataType: 10, int32Data: [0x3c00, 0xc000] },
        { name: 'u', dims: [1n], dataType: 12, uint64Data: [4294967295n] },
        { name: 'b', dims: [2n], dataType: 9, int32Data: [1, 0] },
      ],
    }),
  );
  t.same([...graph.parameters.get('h')!.data], [0x3c00, 0xc000]);
  t.same([...graph.constants.get('u')!.data], [4294967295]);
  t.same([...graph.constants.get('b')!.data], [1, 0]);
  t.end();
});

t.test('which float initializers are parameters', async (t) => {
  const square = [1, 0, 1, 1];
  const nodes = [
    node('MatMul', ['x', 'weight'], ['a']),
    node('Mul', ['a', 'causal'], ['b']),
    node('Add', ['b', 'infinite'], ['c']),
    node('Clip', ['c', 'low', 'high'], ['d']),
    node('Equal', ['compared', 'compared'], ['e']),
    node('Where', ['e', 'd', 'scalar'], ['f']),
    node('Pow', ['f', 'mixed'], ['y']),
    node('Neg', ['dead'], ['unused']),
  ];
  const graph: GraphInit = {
    node: nodes,
    input: [value('x', ['n', 2])],
    output: [value('y', ['n', 2])],
    initializer: [
      tensor('weight', [2, 2], [1, 2, 3, 4]),
      tensor('causal', [2, 2], square),
      tensor('infinite', [2], [0, -Infinity]),
      tensor('low', [], [0]),
      tensor('high', [], [6]),
      tensor('compared', [2], [0, 1]),
      tensor('scalar', [], [2]),
      tensor('mixed', [2, 2], [1, 1, 0, 1.5]),
      tensor('dead', [2], [1, 2]),
    ],
  };
  const names = (bytes: Uint8Array, trainable?: (name: string) => boolean): string[] => [
    ...readModel(bytes, trainable ? { trainable } : {}).graph.parameters.keys(),
  ];
  const pytorch = file(graph);
  t.same(names(pytorch), ['weight', 'scalar', 'mixed']);
  t.same(
    names(pytorch, (name) => name !== 'scalar'),
    ['weight', 'causal', 'infinite', 'mixed'],
    'the caller may choose',
  );

  const kinds = new Map([
    ['weight', 'PARAMETER'],
    ['scalar', 'BUFFER'],
  ]);
  const noted = file({
    ...graph,
    valueInfo: [...kinds].map(([name, kind]) => ({
      name,
      metadataProps: [{ key: 'pkg.torch.export.graph_signature.InputSpec.kind', value: kind }],
    })),
  });
  t.same(names(noted), ['weight'], 'the exporter says which are');

  const resnet = await loadModel(join(repositoryRoot, 'test/fixtures/models/resnet/model.onnx'));
  t.notOk([...resnet.graph.parameters.keys()].some((name) => name.includes('running')));
});

t.test('a graph that dtrain wrote keeps its parameters', (t) => {
  const scalars = new Map([['s', tensorOf('float32', [], [2])]]);
  const bytes = writeGraph({
    name: 'g',
    inputs: [{ name: 'x', dtype: 'float32', shape: ['n'] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: ['n'] }],
    nodes: [
      { name: 'a', operator: 'Mul', domain: '', inputs: ['x', 's'], outputs: ['m'], attributes: {} },
      { name: 'b', operator: 'Mul', domain: '', inputs: ['m', 'c'], outputs: ['y'], attributes: {} },
    ],
    parameters: scalars,
    constants: new Map([['c', tensorOf('float32', [1], [3])]]),
  });
  const { graph } = readModel(bytes);
  t.same([...graph.parameters.keys()], ['s']);
  t.same([...graph.constants.keys()], ['c']);
  t.end();
});

t.test('the model comes back with new values and nothing else changed', (t) => {
  const bytes = add({
    node: [node('Add', ['x', 'w'], ['a']), node('Dropout', ['a', 'r', 't'], ['y'])],
    initializer: [
      tensor('w', [2], [1, 2]),
      tensor('r', [], [0.5]),
      { name: 't', dims: [], dataType: 9, int32Data: [1] },
    ],
    docString: 'kept',
  });
  const model = readModel(bytes);
  const again = readModel(withParameters(model, new Map([['w', tensorOf('float32', [2], [5, 6])]])));
  t.same([...again.graph.parameters.get('w')!.data], [5, 6]);
  t.equal(again.proto.graph!.docString, 'kept');
  t.same(again.graph.nodes[1]!.inputs, ['a', 'r'], 'it drops nothing');
  t.equal(model.graph.nodes[1]!.inputs[2], 't', 'the model itself is as it was');
  t.throws(
    () => withParameters(model, new Map([['w', tensorOf('float32', [3], [5, 6, 7])]])),
    /"w" is float32\[2\]/,
  );
  t.throws(() => withParameters(model, new Map([['z', tensorOf('float32', [1], [5])]])), /no initializer z/);
  t.end();
});

t.test('fields that dtrain does not know survive', (t) => {
  // training_info (20) of a model and quantization_annotation (14) of a graph are not in our schema.
  const unknown = Uint8Array.of(0xa2, 0x01, 3, 1, 2, 3);
  const bytes = Uint8Array.from([...add({ initializer: [tensor('w', [2], [1, 2])] }), ...unknown]);
  const written = Buffer.from(withParameters(readModel(bytes), new Map()));
  t.ok(written.includes(Buffer.from(unknown)));
  t.end();
});

t.test('a file of PyTorch comes back byte for byte', (t) => {
  for (const name of ['mlp', 'lenet', 'gpt']) {
    const bytes = readFileSync(join(repositoryRoot, 'test/fixtures/models', name, 'model.onnx'));
    const model = readModel(bytes);
    const written = withParameters(model, model.graph.parameters);
    t.ok(bytes.equals(written), name);
  }
  t.end();
});

t.test('attributes keep their value', (t) => {
  const { graph } = readModel(
    file({
      node: [node('Gemm', ['x', 'w'], ['y'], [float('alpha', 0.5), int('transB', 1)])],
      input: [value('x', ['n', 2])],
      output: [value('y', ['n', 2])],
      initializer: [tensor('w', [2, 2], [1, 2, 3, 4])],
    }),
  );
  t.same(graph.nodes[0]!.attributes, {
    alpha: { kind: 'float', value: 0.5 },
    transB: { kind: 'int', value: 1 },
  });
  t.end();
});
