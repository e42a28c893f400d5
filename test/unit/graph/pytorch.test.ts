import { create, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { readModel } from '../../../graph/index.js';
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
  t.end();
});
