import { fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import {
  bindGraph,
  buildStages,
  buildTrainingGraph,
  checkOperators,
  customOf,
  ModelError,
  readModel,
  unitsOf,
  writeGraph,
} from '../../../graph/index.js';
import { custom, eager, linear, model, sequential, tensor, type Layer } from '../../../graph/nn/index.js';
import { ModelProtoSchema } from '../../../graph/onnx/gen/onnx_pb.js';
import { rowSum, snake } from './snake.js';

const wave = (attributes: Readonly<Record<string, number>> = {}): Layer => ({
  apply: (x, scope) =>
    custom(
      snake,
      x,
      scope.parameter('alpha', [x.lengthAt(-1, 'snake')], (data) => data.fill(1)),
      attributes,
    ),
});
const net = model({ input: tensor(4), layers: sequential(linear(6), wave({ scale: 2 }), linear(3), wave()) });
const file = writeGraph(net.graph);

t.test('a file keeps nodes, attributes and definitions', (t) => {
  const { graph, proto } = readModel(file);
  const nodes = graph.nodes.filter(customOf);
  t.same(
    nodes.map(({ operator, domain }) => [domain, operator]),
    [
      ['my.ops', 'Snake'],
      ['my.ops', 'Snake'],
    ],
  );
  t.match(nodes[0]!.attributes['scale'], { kind: 'float', value: 2 });
  t.same(customOf(nodes[0]!)?.operator, snake.operator);
  t.same(
    proto.opsetImport.map(({ domain }) => domain),
    ['', 'my.ops'],
  );
  t.same([...writeGraph(graph)], [...file], 'writing it again gives the same file');
  t.equal(checkOperators(graph), 2);
  t.end();
});

t.test('without the definition the operator is unknown; a definition may be given', (t) => {
  const plain = toBinary(ModelProtoSchema, { ...fromBinary(ModelProtoSchema, file), metadataProps: [] });
  t.throws(() => readModel(plain), ModelError);
  t.throws(() => readModel(plain), /my\.ops\.Snake, which dtrain does not know.*own-operators\.md/);
  const given = readModel(plain, { operators: [snake.operator] });
  t.equal(given.graph.nodes.filter(customOf).length, 2);
  t.ok(
    given.proto.metadataProps.some(({ key }) => key === 'dtrain.operators'),
    'and travels on',
  );
  t.throws(() => readModel(file, { operators: [snake.operator] }), /is defined twice/);
  t.end();
});

t.test('a file with wicked text is refused, and the text does not run', (t) => {
  const proto = fromBinary(ModelProtoSchema, file);
  const entry = proto.metadataProps.find(({ key }) => key === 'dtrain.operators')!;
  const wicked = (value: string) =>
    toBinary(ModelProtoSchema, { ...proto, metadataProps: [{ ...entry, value }] });
  const value = entry.value!;
  t.throws(
    () => readModel(wicked(value.replace('const i', 'globalThis.owned = 1; const i'))),
    /changes nothing but its own locals/,
  );
  t.throws(
    () =>
      readModel(
        wicked(
          value
            .replace('function (', '(globalThis.owned = 1, function (')
            .replace('function(', '(globalThis.owned = 1, function('),
        ),
      ),
    /operator my\.ops\.Snake: forward/,
  );
  t.notOk('owned' in globalThis);
  t.throws(() => readModel(wicked('[{')), /no list of definitions/);
  t.end();
});

t.test('a training graph has a node for each gradient, also where it is cut', (t) => {
  const { graph } = readModel(file);
  const options = { batch: 4, loss: 'cross_entropy' } as const;
  const training = buildTrainingGraph(graph, options);
  const named = (nodes: readonly { readonly domain: string; readonly operator: string }[]) =>
    nodes
      .filter(({ domain }) => domain === 'my.ops')
      .map(({ operator }) => operator)
      .sort();
  const wanted = ['Snake', 'Snake', 'Snake.grad.alpha', 'Snake.grad.alpha', 'Snake.grad.x', 'Snake.grad.x'];
  t.same(named(training.graph.nodes), wanted);
  t.same(training.withoutGradient, []);
  const units = unitsOf(graph, options);
  const half = Math.ceil(units.length / 2);
  const stages = [units.slice(0, half).flat(), units.slice(half).flat()].filter((stage) => stage.length > 0);
  const cut = buildStages(graph, { ...options, stages });
  const programs = cut.flatMap(({ forward, backward }) =>
    [forward, ...backward].flatMap((each) => (each ? [each] : [])),
  );
  for (const operator of wanted)
    t.ok(
      programs.some(({ nodes }) => nodes.some((node) => node.operator === operator)),
      operator,
    );
  t.end();
});

t.test('what does not fit is said of the layer or the node', (t) => {
  const bad = (layer: Layer) => () => model({ input: tensor(4), layers: sequential(linear(6), layer) });
  t.throws(
    bad({ apply: (x) => custom(snake, x) }),
    /my\.ops\.Snake: is given 1 inputs; it takes 2: x, alpha/,
  );
  t.throws(bad(wave({ slope: 1 })), /has no attribute "slope"; scale, shift would be accepted/);
  t.throws(bad(wave({ scale: NaN })), /finite/);
  const long = model({ input: tensor(2, 3), layers: { apply: (x) => custom(rowSum, x) } });
  t.same(long.graph.outputs[0]!.shape, ['batch', 1]);
  t.same(bindGraph(long.graph, { batch: 2 }).types.get('output')!.shape, [2, 1]);
  t.throws(
    () =>
      bindGraph(model({ input: tensor(), layers: { apply: (x) => custom(rowSum, x) } }).graph, { batch: 2 }),
    /x_1/,
  );
  t.end();
});

t.test('eagerly it has values and gradients', (t) => {
  eager(({ tensor: give }) => {
    const [x, alpha] = [give([[1, 2]]), give([1, 0.5])];
    const y = custom(snake, x, alpha);
    t.ok(Math.abs(y.data[0]! - (1 + Math.sin(1) ** 2)) < 1e-12);
    y.sum().backward();
    t.ok(Math.abs(x.grad!.data[0]! - (1 + Math.sin(2))) < 1e-12);
    t.equal(alpha.grad!.data.length, 2);
  });
  t.end();
});
