import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { readModel, takesValue, tensorOf, withParameters } from '../../../graph/index.js';
import {
  AttributeProtoSchema,
  FunctionProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  type NodeProto,
} from '../../../graph/onnx/gen/onnx_pb.js';
import { forPrediction } from '../../../graph/onnx/prediction.js';
import { file, int, node, tensor, value } from './file.js';

const nodeOf = (...given: Parameters<typeof node>): NodeProto => create(NodeProtoSchema, node(...given));
const training = (outputs: string[]): NodeProto =>
  nodeOf('BatchNormalization', ['x', 's', 'b', 'm', 'v'], outputs, [int('training_mode', 1), int('kept', 3)]);
const shown = (nodes: readonly NodeProto[]) =>
  nodes.map(({ opType, input, output, attribute }) => [
    opType,
    input.join(),
    output.join(),
    attribute.map(({ name }) => name).join(),
  ]);

t.test('BatchNormalization has one output and no training mode', (t) => {
  t.same(shown(forPrediction([training(['y', 'm2', 'v2'])], ['y'])), [
    ['BatchNormalization', 'x,s,b,m,v', 'y', 'kept'],
  ]);
  t.end();
});

t.test('updated statistics that are used are those that it was given', (t) => {
  const nodes = [training(['y', 'm2', 'v2', 'sm', 'sv']), nodeOf('Neg', ['m2'], ['z'])];
  t.same(shown(forPrediction(nodes, ['y', 'v2'])), [
    ['BatchNormalization', 'x,s,b,m,v', 'y', 'kept'],
    ['Identity', 'm', 'm2', ''],
    ['Identity', 'v', 'v2', ''],
    ['Neg', 'm2', 'z', ''],
  ]);
  t.end();
});

t.test('Dropout is not told to train; nodes of other domains are left alone', (t) => {
  const dropout = nodeOf('Dropout', ['x', 'ratio', 'yes'], ['y', 'mask']);
  const foreign = { ...training(['z', 'm2']), domain: 'my.own' };
  t.same(shown(forPrediction([dropout, foreign], ['y'])), [
    ['Dropout', 'x,ratio', 'y,mask', ''],
    ['BatchNormalization', 'x,s,b,m,v', 'z,m2', 'training_mode,kept'],
  ]);
  t.end();
});

t.test('bodies of branches too, and what they read is used', (t) => {
  const g = create(GraphProtoSchema, { node: [training(['inner', 'i2'])], output: [value('m2', [2])] });
  const attribute = [create(AttributeProtoSchema, { name: 'then_branch', type: 5, g })];
  const branch = create(NodeProtoSchema, { opType: 'If', input: ['c'], output: ['y'], attribute });
  const [first, second, last] = forPrediction([training(['x2', 'm2']), branch], ['y']);
  t.same(shown([first!, second!]), [
    ['BatchNormalization', 'x,s,b,m,v', 'x2', 'kept'],
    ['Identity', 'm', 'm2', ''],
  ]);
  t.same(shown(last!.attribute[0]!.g!.node), [['BatchNormalization', 'x,s,b,m,v', 'inner', 'kept']]);
  t.same(g.node[0]!.output, ['inner', 'i2'], 'the model itself is as it was');
  t.end();
});

t.test('functions of the file too', (t) => {
  const bytes = file({
    node: [node('Relu', ['x'], ['y'])],
    input: [value('x', [2])],
    output: [value('y', [2])],
  });
  const proto = fromBinary(ModelProtoSchema, bytes);
  const own = { name: 'own', domain: 'my.own', input: ['x', 's', 'b', 'm', 'v'], output: ['y'] };
  proto.functions.push(create(FunctionProtoSchema, { ...own, node: [training(['y', 'm2'])] }));
  const written = withParameters(readModel(toBinary(ModelProtoSchema, proto)), new Map());
  const [found] = fromBinary(ModelProtoSchema, written).functions;
  t.same(shown(found!.node), [['BatchNormalization', 'x,s,b,m,v', 'y', 'kept']]);
  t.end();
});

t.test('statistics that an Identity or a Constant gives become initializers', (t) => {
  const bytes = file({
    node: [
      node('Identity', ['s'], ['m']),
      node('Constant', [], ['v'], [{ name: 'value', type: 4, t: tensor('', [2], [3, 4]) }]),
      node('BatchNormalization', ['x', 's', 's', 'm', 'v'], ['y'], [int('training_mode', 1)]),
    ],
    input: [value('x', ['n', 2])],
    output: [value('y', ['n', 2])],
    initializer: [tensor('s', [2], [1, 1])],
  });
  const model = readModel(bytes);
  t.same(
    ['s', 'm', 'v', 'x', 'y'].map((name) => takesValue(model, name)),
    [true, true, true, false, false],
  );
  const values = { s: [1, 2], m: [5, 6], v: [7, 8] };
  const given = Object.entries(values).map(([name, data]) => [name, tensorOf('float32', [2], data)] as const);
  const again = readModel(withParameters(model, new Map(given)));
  t.same(
    again.graph.nodes.map(({ operator }) => operator),
    ['BatchNormalization'],
  );
  const all = new Map([...again.graph.parameters, ...again.graph.constants]);
  for (const [name, data] of Object.entries(values)) t.same([...all.get(name)!.data], data, name);
  t.end();
});
