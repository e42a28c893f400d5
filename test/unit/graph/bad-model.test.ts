import { mkdtempSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { bindGraph, loadModel, ModelError, readModel, ShapeError } from '../../../graph/index.js';
import { file, int, node, tensor, value, type GraphInit, type TensorInit } from './file.js';

const relu: GraphInit = {
  node: [node('Relu', ['x'], ['y'])],
  input: [value('x', ['batch', 2])],
  output: [value('y', ['batch', 2])],
};
const withInitializer = (w: TensorInit): Uint8Array =>
  file({ ...relu, node: [node('Add', ['x', 'w'], ['y'])], initializer: [w] });

/** What is wrong, the file, and what the message must name. */
const TABLE: readonly (readonly [string, Uint8Array, RegExp])[] = [
  ['empty', new Uint8Array(), /holds no graph/],
  ['text', new TextEncoder().encode('this is not a model at all'), /not an ONNX model/],
  ['truncated', file(relu).subarray(0, -3), /truncated|holds no/],
  ['opset too old', file(relu, 6), /opset 6; 7 to \d+ would be accepted/],
  ['opset too new', file(relu, 99), /opset 99/],
  ['no opset of ai.onnx', file(relu, 15, 'com.example'), /no opset of ai\.onnx/],
  [
    'cycle',
    file({
      ...relu,
      node: [node('Add', ['x', 'b'], ['a']), node('Relu', ['a'], ['b']), node('Relu', ['b'], ['y'])],
    }),
    /"Add:a", "Relu:b".*cycle/,
  ],
  [
    'undefined value',
    file({ ...relu, node: [node('Add', ['x', 'nothing'], ['y'])] }),
    /node "Add:y" \(Add\) reads "nothing"/,
  ],
  [
    'value given twice',
    file({ ...relu, node: [node('Relu', ['x'], ['y']), node('Neg', ['x'], ['y'])] }),
    /"y" is given twice: by node "Relu:y" and by node "Neg:y"/,
  ],
  [
    'node shadows an input',
    file({ ...relu, node: [node('Relu', ['x'], ['x']), node('Neg', ['x'], ['y'])] }),
    /"x" is given twice/,
  ],
  [
    'constant shadows an input',
    file({ ...relu, node: [node('Constant', [], ['x'], [int('value_int', 1)]), node('Neg', ['x'], ['y'])] }),
    /"x" is given twice/,
  ],
  [
    'input twice',
    file({ ...relu, input: [value('x', [1]), value('x', [1])] }),
    /input "x" is declared twice/,
  ],
  ['output of nothing', file({ ...relu, output: [value('z', [1])] }), /output "z" is given by no node/],
  ['no outputs', file({ ...relu, output: [] }), /no outputs/],
  [
    'output twice',
    file({ ...relu, output: [value('y', [1]), value('y', [1])] }),
    /output "y" is declared twice/,
  ],
  [
    'initializer twice',
    file({ ...relu, initializer: [tensor('w', [1], [1]), tensor('w', [1], [1])] }),
    /initializer "w" is given twice/,
  ],
  [
    'too few elements',
    withInitializer(tensor('w', [3], [1, 2])),
    /"w" \(float32\[3\]\) needs 3 elements; the file holds 2/,
  ],
  [
    'too few bytes',
    withInitializer({ name: 'w', dims: [3n], dataType: 1, rawData: new Uint8Array(8) }),
    /needs 12 bytes; the file holds 8/,
  ],
  [
    'negative dimension',
    withInitializer({ name: 'w', dims: [-1n], dataType: 1, rawData: new Uint8Array(4) }),
    /dimensions \[-1\]/,
  ],
  [
    'overflowing dimensions',
    withInitializer({ name: 'w', dims: [2n ** 40n, 2n ** 40n], dataType: 1 }),
    /product below 2\^53/,
  ],
  [
    'huge dimension without bytes',
    withInitializer({ name: 'w', dims: [2n ** 45n], dataType: 1 }),
    /needs 35184372088832 elements; the file holds 0/,
  ],
  [
    '100 dimensions',
    withInitializer({
      name: 'w',
      dims: new Array<bigint>(100).fill(1n),
      dataType: 1,
      rawData: new Uint8Array(4),
    }),
    /100 dimensions/,
  ],
  [
    'unknown element type',
    withInitializer({ name: 'w', dims: [1n], dataType: 22, rawData: new Uint8Array(1) }),
    /element type 22/,
  ],
  ['text tensor', withInitializer({ name: 'w', dims: [1n], dataType: 8 }), /element type 8 \(string\)/],
  [
    'external data, from bytes alone',
    withInitializer({ name: 'w', dims: [1n], dataType: 1, dataLocation: 1 }),
    /lies in another file/,
  ],
  [
    'input without a shape',
    file({ ...relu, input: [{ name: 'x', type: { tensorType: { elemType: 1 } } }] }),
    /input "x" is not a tensor with a declared shape/,
  ],
  [
    'input of a negative length',
    file({ ...relu, input: [value('x', [-7])] }),
    /input "x" has the dimensions \[-7\]/,
  ],
  ['input of text', file({ ...relu, input: [value('x', [1], 8)] }), /input "x" has ONNX element type 8/],
  [
    'unknown domain',
    file({ ...relu, node: [{ ...node('Gelu', ['x'], ['y']), domain: 'com.example' }] }),
    /node "Gelu:y" is com\.example\.Gelu/,
  ],
  [
    'attribute twice',
    file({ ...relu, node: [node('Elu', ['x'], ['y'], [int('alpha', 1), int('alpha', 1)])] }),
    /attribute "alpha" twice/,
  ],
  [
    'a control character in a name',
    file({ ...relu, node: [{ ...node('Relu', ['x'], ['y']), name: 'a\u001b[31mb' }] }),
    /the name of a node has a text with a control character \("a\\u001b\[31mb"\)/,
  ],
  [
    'a line break in the name of a value',
    file({ ...relu, node: [node('Relu', ['x'], ['a\nb']), node('Relu', ['a\nb'], ['y'])] }),
    /control character \("(Relu:)?a\\u000ab"\)/,
  ],
  [
    'a control character in a symbol',
    file({ ...relu, input: [value('x', ['batch\u202e', 2])] }),
    /the input "x" has a text with a control character/,
  ],
  [
    'a name of a megabyte',
    file({ ...relu, node: [{ ...node('Relu', ['x'], ['y']), name: 'n'.repeat(2 ** 20) }] }),
    /has a text of 1048576 characters \("n{60}\.\.\."\); at most 4096/,
  ],
  [
    'a sparse initializer',
    file({ ...relu, sparseInitializer: [{ values: { name: 'w', dataType: 1 }, dims: [2n ** 40n] }] }),
    /sparse initializers \("w"\); dense ones/,
  ],
  [
    'an attribute that is a list of tensors',
    file({ ...relu, node: [node('Elu', ['x'], ['y'], [{ name: 'alpha', type: 9 }])] }),
    /attribute "alpha" of node "Elu:y" has a kind that dtrain does not read \(9\)/,
  ],
  [
    'a tensor attribute that claims 2^40 elements',
    file({
      ...relu,
      node: [
        node('Constant', [], ['c'], [{ name: 'value', type: 4, t: { dims: [2n ** 40n], dataType: 1 } }]),
        node('Add', ['x', 'c'], ['y']),
      ],
    }),
    /needs 1099511627776 elements; the file holds 0/,
  ],
  [
    'a body without a graph',
    file({ ...relu, node: [node('Loop', ['', '', 'x'], ['y'], [{ name: 'body', type: 5 }])] }),
    /attribute "body" of node "Loop:y" is a body without a graph/,
  ],
  [
    'Scan of opset 8',
    file({ ...relu, node: [node('Scan', ['', 'x'], ['y'])] }, 8),
    /node "Scan:y" \(Scan\).*opset 9/,
  ],
  [
    'Constant without a value',
    file({ ...relu, node: [node('Constant', [], ['c']), node('Add', ['x', 'c'], ['y'])] }),
    /must have exactly one value/,
  ],
  [
    'Constant of text',
    file({
      ...relu,
      node: [
        node('Constant', [], ['c'], [{ name: 'value_string', type: 3, s: new Uint8Array([65]) }]),
        node('Add', ['x', 'c'], ['y']),
      ],
    }),
    /holds text/,
  ],
];

for (const [what, bytes, message] of TABLE) {
  t.test(`refuses: ${what}`, (t) => {
    t.throws(() => readModel(bytes, { source: 'bad.onnx' }), {
      constructor: ModelError,
      code: 'bad_model',
      family: 'user',
      message,
    });
    t.throws(() => readModel(bytes, { source: 'bad.onnx' }), { message: /^bad\.onnx: / });
    t.end();
  });
}

t.test('external data', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dtrain-onnx-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const models = join(folder, 'models');
  mkdirSync(models);
  const bytes = new Uint8Array(Float32Array.of(9, 1, 2, 9).buffer);
  writeFileSync(join(folder, 'secret.data'), bytes);
  writeFileSync(join(models, 'model.onnx.data'), bytes);
  mkdirSync(join(models, 'folder'));
  symlinkSync(join(folder, 'secret.data'), join(models, 'link.data'));
  const path = join(models, 'model.onnx');
  const load = async (entries: Record<string, string>): Promise<Awaited<ReturnType<typeof loadModel>>> => {
    const externalData = Object.entries(entries).map(([key, text]) => ({ key, value: text }));
    writeFileSync(
      path,
      withInitializer({ name: 'w', dims: [2n], dataType: 1, dataLocation: 1, externalData }),
    );
    return loadModel(path);
  };
  const location = 'model.onnx.data';
  const { graph, proto } = await load({ location, offset: '4', length: '8' });
  t.same([...graph.parameters.get('w')!.data], [1, 2]);
  t.equal(proto.graph!.initializer[0]!.dataLocation, undefined, 'the model is one piece now');
  t.same([...(await load({ location })).graph.parameters.get('w')!.data], [9, 1]);
  const refused: readonly (readonly [Record<string, string>, RegExp])[] = [
    [{ location: '../secret.data' }, /without ".."/],
    [{ location: join(folder, 'secret.data') }, /relative path/],
    [{ location: 'C:\\secret.data' }, /relative path/],
    [{ location: 'a\\..\\..\\secret.data' }, /without ".."/],
    [{ location: '' }, /lies in ""/],
    [{ location: 'link.data' }, /leads out of the model's folder/],
    [{ location: 'folder' }, /not a plain file/],
    [{ location: 'missing.data' }, /not beside the model/],
    [{ location, offset: '12' }, /bytes 12 to 20 of "model.onnx.data", which has 16/],
    [{ location, length: '4' }, /needs 8 bytes; its entry .* holds 4/],
    [{ location, offset: '-4' }, /not a whole number/],
    [{ location, offset: String(2 ** 60) }, /not a whole number/],
  ];
  for (const [entries, message] of refused) {
    await t.rejects(load(entries), { constructor: ModelError, message }, JSON.stringify(entries));
  }
  await t.rejects(loadModel(join(models, 'none.onnx')), {
    constructor: ModelError,
    message: /cannot be read/,
  });
});

/** Models that read well and must not be bound: the node, what it would make, and what the message must name. */
const int64s = (name: string, ...values: number[]): TensorInit => ({
  name,
  dims: [BigInt(values.length)],
  dataType: 7,
  int64Data: values.map(BigInt),
});
const terabytes = (
  operator: string,
  input: string[],
  initializer: TensorInit[],
): readonly [string, GraphInit, RegExp] => [
  `terabytes by ${operator}`,
  { node: [node(operator, input, ['y'])], initializer },
  new RegExp(`"${operator}:y" \\(${operator}\\).*bytes; lengths from 0 and at most`),
];
const BOUND: readonly (readonly [string, GraphInit, RegExp])[] = [
  [
    'an attribute of another kind',
    { node: [node('Transpose', ['x'], ['y'], [{ name: 'perm', type: 3, s: new Uint8Array([65]) }])] },
    /node "Transpose:y" \(Transpose\).*"perm" of kind string; ints would be accepted/,
  ],
  terabytes('ConstantOfShape', ['big'], [int64s('big', 2 ** 24, 2 ** 24)]),
  terabytes('Expand', ['x', 'big'], [int64s('big', 2 ** 26, 2 ** 20, 2, 2)]),
  terabytes('Tile', ['x', 'big'], [int64s('big', 2 ** 30, 2 ** 20)]),
  terabytes('Pad', ['x', 'big'], [int64s('big', 2 ** 30, 2 ** 20, 2 ** 30, 2 ** 20)]),
  terabytes('Resize', ['x', '', '', 'big'], [int64s('big', 2 ** 30, 2 ** 20)]),
  terabytes(
    'Range',
    ['zero', 'end', 'step'],
    [
      { name: 'zero', dims: [], dataType: 7, int64Data: [0n] },
      { name: 'end', dims: [], dataType: 7, int64Data: [2n ** 50n] },
      { name: 'step', dims: [], dataType: 7, int64Data: [1n] },
    ],
  ),
];

for (const [what, graph, message] of BOUND) {
  t.test(`does not bind: ${what}`, (t) => {
    const read = readModel(file({ ...relu, ...graph }));
    const before = process.memoryUsage.rss();
    t.throws(() => bindGraph(read.graph, { batch: 2 }), { constructor: ShapeError, message });
    t.ok(process.memoryUsage.rss() - before < 2 ** 26, 'no memory is taken');
    t.end();
  });
}

t.test('many nodes that each make a little are not all computed ahead', (t) => {
  const count = 2000;
  const names = Array.from({ length: count }, (_, i) => `c${i}`);
  const { graph } = readModel(
    file({
      ...relu,
      node: [
        ...names.map((name) => node('ConstantOfShape', ['shape'], [name])),
        node('Sum', names, ['all']),
        node('ReduceSum', ['all'], ['one'], [int('keepdims', 0)]),
        node('Add', ['x', 'one'], ['y']),
      ],
      initializer: [int64s('shape', 65536)],
    }),
  );
  const before = process.memoryUsage.rss();
  const typed = bindGraph(graph, { batch: 2 });
  const elements = [...typed.constants.values()].reduce((sum, { data }) => sum + data.length, 0);
  t.ok(elements <= 2 ** 23 + 64, `${elements} elements`);
  t.ok(process.memoryUsage.rss() - before < 2 ** 29, 'memory is bounded');
  t.end();
});
