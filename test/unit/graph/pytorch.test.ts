import { create, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import {
  buildTrainingGraph,
  evaluate,
  readModel,
  toReference,
  type Reference,
} from '../../../graph/index.js';
import { ModelProtoSchema } from '../../../graph/onnx/gen/onnx_pb.js';
import { node, tensor, value, type GraphInit, type NodeInit } from './file.js';

function written(graph: GraphInit, producerName = 'pytorch'): Uint8Array {
  const opsetImport = [{ domain: '', version: 20n }];
  return toBinary(ModelProtoSchema, create(ModelProtoSchema, { producerName, opsetImport, graph }));
}

/** A node with PyTorch's line beside it. */
function noted(opType: string, input: string[], output: string[], line: string): NodeInit {
  return { opType, input, output, metadataProps: [{ key: 'pkg.torch.onnx.fx_node', value: line }] };
}

/** Two layers whose biases began as zeros, and a weight that the module itself uses twice. */
const merged: GraphInit = {
  name: 'main',
  input: [value('x', ['batch', 2])],
  output: [value('y', ['batch', 2])],
  initializer: [tensor('w', [2, 2], [1, 2, 3, 4]), tensor('a.bias', [2], [0, 0])],
  node: [
    node('Identity', ['a.bias'], ['b.bias']),
    node('Gemm', ['x', 'w', 'a.bias'], ['h']),
    node('Gemm', ['h', 'w', 'b.bias'], ['y']),
  ],
};

t.test('equal tensors that PyTorch merged are apart again, shared ones stay shared', (t) => {
  const { graph, proto } = readModel(written(merged));
  t.same([...graph.parameters.keys()], ['w', 'a.bias', 'b.bias']);
  t.same(
    graph.nodes.map(({ operator, inputs }) => [operator, ...inputs]),
    [
      ['Gemm', 'x', 'w', 'a.bias'],
      ['Gemm', 'h', 'w', 'b.bias'],
    ],
  );
  t.same(
    proto.graph?.initializer.map(({ name }) => name),
    ['w', 'a.bias', 'b.bias'],
    'trained values have a place each in the file',
  );
  const other = readModel(written(merged, 'another exporter')).graph;
  t.same([...other.parameters.keys()], ['w', 'a.bias'], 'of others it is not known what an Identity means');
  t.end();
});

t.test('an output that copies a tensor stays one', (t) => {
  const { graph } = readModel(written({ ...merged, output: [...merged.output!, value('b.bias', [2])] }));
  t.same([...graph.parameters.keys()], ['w', 'a.bias']);
  t.same(graph.nodes[0]?.operator, 'Identity');
  t.end();
});

t.test('BatchNormalization has the mode that is noted beside it', (t) => {
  const graphWith = (line: string): GraphInit => ({
    name: 'main',
    input: [value('x', ['batch', 2])],
    output: [value('y', ['batch', 2])],
    initializer: ['s', 'b', 'm', 'v'].map((name) => tensor(name, [2], [1, 2])),
    node: [noted('BatchNormalization', ['x', 's', 'b', 'm', 'v'], ['y'], line)],
  });
  const call = (training: string) =>
    `%n : [num_users=3] = call_function[target=torch.ops.aten._native_batch_norm_legit_functional.default](args = (%x, %p_s, %p_b, %b_m, %b_v, ${training}, 0.1, 1e-05), kwargs = {})`;
  const modeOf = (line: string) =>
    readModel(written(graphWith(line))).graph.nodes[0]?.attributes['training_mode'];
  t.same(modeOf(call('True')), { kind: 'int', value: 1 });
  t.notMatch(modeOf(call('False')), { value: 1 });
  t.end();
});

t.test('a parameter that the file lacks is named', (t) => {
  const [identity, , second] = merged.node!;
  const line = '%linear = call_function[target=torch.ops.aten.linear.default](args = (%x, %p_w, %p_c_bias))';
  const graph = { ...merged, node: [identity!, noted('Gemm', ['x', 'w', 'a.bias'], ['h'], line), second!] };
  t.throws(() => readModel(written(graph)), {
    code: 'bad_model',
    message: /lacks the module's parameter "c_bias": .*optimize=False/,
  });
  const attention = {
    ...merged,
    initializer: [tensor('w', [2, 2], [1, 2, 3, 4]), tensor('self_c.bias', [2], [0, 0])],
  };
  const gemm = noted('Gemm', ['x', 'w', 'self_c.bias'], ['y'], line);
  t.ok(readModel(written({ ...attention, node: [gemm] })), 'PyTorch leaves a leading self_ out of its names');
  t.end();
});

/** What the line of PyTorch's graph says of a node: a call of `target` with `args`. */
const lineOf = (target: string, args: string): string =>
  `%n : [num_users=1] = call_function[target=torch.ops.aten.${target}.default](args = (${args}), kwargs = {})`;

/** The gradients of sum(y * y) / 2 / count by each parameter, where y is a graph's output. */
function gradientsOf(
  graph: GraphInit,
  shapes: Record<string, number[]>,
  inputs: Record<string, number[]>,
  write: (graph: GraphInit) => Uint8Array = written,
) {
  const { graph: model } = readModel(write(graph));
  const training = buildTrainingGraph(model, { loss: 'mse', shapes, includeOutput: true });
  const feeds = new Map<string, Reference>();
  for (const { name, dtype, shape } of training.graph.inputs.map((name) => ({
    name,
    ...training.graph.types.get(name)!,
  }))) {
    const count = shape.reduce((product, length) => product * length, 1);
    // the target is zeros, and the scale of the loss one
    const other = name === training.target.name ? 0 : 1;
    feeds.set(name, {
      dtype,
      shape,
      data: Float64Array.from(inputs[name] ?? Array<number>(count).fill(other)),
    });
  }
  for (const [name, tensor] of model.parameters) feeds.set(name, toReference(tensor));
  const results = evaluate(training.graph, feeds);
  const operators = training.graph.nodes.map(({ operator }) => operator);
  const of = (name: string) => [...(results.get(training.gradients.get(name) ?? '')?.data ?? [])];
  return { of, operators };
}

t.test('a gradient ends where the module detaches', (t) => {
  const graphWith = (line: string): GraphInit => ({
    name: 'main',
    input: [value('x', [1, 2])],
    output: [value('y', [1, 2])],
    initializer: [tensor('w', [2], [2, 3])],
    node: [
      node('Mul', ['x', 'w'], ['h']),
      noted('Identity', ['h'], ['stopped'], line),
      node('Mul', ['h', 'stopped'], ['y']),
    ],
  });
  // y = h * stop(h) with h = w: dy/dw is h, and 2 h without the stop; the mean of squares gives y each
  const feeds: [Record<string, number[]>, Record<string, number[]>] = [{ x: [1, 2] }, { x: [1, 1] }];
  const stopped = gradientsOf(graphWith(lineOf('detach', '%h')), feeds[0], feeds[1]);
  t.same(stopped.of('w'), [8, 27]);
  t.notOk(stopped.operators.includes('Identity'), 'no engine sees it');
  t.same(gradientsOf(graphWith(lineOf('alias', '%h')), feeds[0], feeds[1]).of('w'), [16, 54]);
  t.end();
});

t.test('the padding row of an embedding is read, and gets no gradient', (t) => {
  const graphWith = (args: string): GraphInit => ({
    name: 'main',
    input: [value('x', [1, 3], 7)],
    output: [value('y', [1, 3, 1])],
    initializer: [tensor('w', [3, 1], [3, 6, 9])],
    node: [noted('Gather', ['w', 'x'], ['y'], lineOf('embedding', args))],
  });
  const gradient = (args: string) =>
    gradientsOf(graphWith(args), { x: [1, 3] }, { x: [0, 2, 2] })
      .of('w')
      .map(Math.round);
  // 2 / 3 of the row each time it is read
  t.same(gradient('%p_w, %x, 2'), [2, 0, 0]);
  t.same(gradient('%p_w, %x, 0'), [0, 0, 12]);
  t.same(gradient('%p_w, %x'), [2, 0, 12]);
  t.same(gradient('%p_w, %x, -1'), [2, 0, 12]);
  t.end();
});

t.test('a normalization whose statistics are those of its input reads them, and has their gradient', (t) => {
  const training = { name: 'training_mode', type: 2, i: 1n };
  const axes = { name: 'axes', type: 7, ints: [0n] };
  const flat = [axes, { name: 'keepdims', type: 2, i: 0n }];
  const graphOf = (statistics: string[], outputs: string[]): GraphInit => ({
    name: 'main',
    input: [value('x', [3, 2])],
    output: [value('y', [3, 2])],
    initializer: ['w', 's', 'b', 'zero', 'one'].map((name, i) => tensor(name, [2], [1 + i, 2 - i])),
    node: [
      node('Mul', ['x', 'w'], ['h']),
      node('ReduceMean', ['h'], ['m'], flat),
      node('Sub', ['h', 'm'], ['c']),
      node('Mul', ['c', 'c'], ['squares']),
      node('ReduceMean', ['squares'], ['v'], flat),
      node('BatchNormalization', ['h', 's', 'b', ...statistics], ['n', ...outputs], [training]),
      node('Mul', ['n', 'x'], ['y']),
    ],
  });
  const written17 = (graph: GraphInit) =>
    toBinary(
      ModelProtoSchema,
      create(ModelProtoSchema, {
        producerName: 'pytorch',
        opsetImport: [{ domain: '', version: 17n }],
        graph,
      }),
    );
  const computed = graphOf(['m', 'v'], ['m2', 'v2']);
  const read = readModel(written17(computed)).graph.nodes.find(
    ({ operator }) => operator === 'BatchNormalization',
  );
  t.same(read?.outputs, ['n']);
  t.notOk(read?.attributes['training_mode']);
  const feeds = { x: [1, 2, -1, 0.5, 2, -2] };
  const ours = gradientsOf(computed, { x: [3, 2] }, feeds, written17);
  const form = gradientsOf(graphOf(['zero', 'one'], ['m2', 'v2']), { x: [3, 2] }, feeds, written17);
  for (const name of ['w', 's', 'b']) {
    t.ok(ours.of(name).length === 2, name);
    ours.of(name).forEach((each, i) => t.ok(Math.abs(each - form.of(name)[i]!) < 1e-6, `${name}: ${each}`));
  }
  t.end();
});
