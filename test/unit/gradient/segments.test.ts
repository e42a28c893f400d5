import t from 'tap';
import {
  buildTrainingGraph,
  cutIntoSegments,
  gradientOrder,
  GraphBuilder,
  peakActivationBytes,
  standardOperators,
  type TrainingGraph,
  type TypedGraph,
} from '../../../graph/index.js';
import { linear, model, sequential, tanh, tensor } from '../../../graph/nn/index.js';

/** x -> Tanh -> ... -> Tanh, each [4] float32 (16 bytes). */
function chain(length: number): TypedGraph {
  const builder = new GraphBuilder(standardOperators);
  let value = builder.input('x', { dtype: 'float32', shape: [4] });
  for (let i = 0; i < length; i++) value = builder.one('Tanh', [value]);
  return builder.build('chain', [value]);
}

t.test('the peak of a chain is two values; of values that are kept, all', async (t) => {
  t.equal(peakActivationBytes(chain(1)), 16);
  t.equal(peakActivationBytes(chain(10)), 32);
  const kept = chain(10);
  t.equal(peakActivationBytes({ ...kept, outputs: kept.nodes.flatMap((node) => node.outputs) }), 160);
});

t.test('a view takes no memory and keeps what it views', async (t) => {
  const builder = new GraphBuilder(standardOperators);
  const x = builder.input('x', { dtype: 'float32', shape: [4] });
  const a = builder.one('Tanh', [x]);
  const view = builder.one('Identity', [a]);
  const b = builder.one('Tanh', [x]);
  const sum = builder.one('Add', [view, b]);
  t.equal(peakActivationBytes(builder.build('views', [sum])), 48);
});

t.test('a deep model of some 2,000 nodes is cut, ordered and measured in linear time', async (t) => {
  const deep = (depth: number) => {
    const layers = Array.from({ length: depth }, () => [linear(2), tanh()]).flat();
    const { graph } = model({ input: tensor(2), layers: sequential(...layers) });
    return buildTrainingGraph(graph, { batch: 1, loss: 'mse' });
  };
  /** How often the nodes of a training graph are looked at. */
  const looks = (training: TrainingGraph) => {
    let count = 0;
    const nodes = training.graph.nodes.map((node) => ({
      ...node,
      get inputs() {
        count++;
        return node.inputs;
      },
    }));
    const watched = { ...training, graph: { ...training.graph, nodes } };
    const order = gradientOrder(watched);
    cutIntoSegments(
      watched,
      order.map((parameter) => [parameter]),
    );
    peakActivationBytes(watched.graph);
    return count;
  };
  const small = deep(60);
  const large = deep(240);
  t.ok(large.graph.nodes.length > 1500, `${large.graph.nodes.length} nodes`);
  const [few, many] = [looks(small), looks(large)];
  t.ok(few >= 3 * small.graph.nodes.length, 'all of them look at each node');
  // four times the nodes and buckets: quadratic work would look sixteen times as often
  t.ok(many < 5 * few, `${few} looks become ${many}`);
});

t.test('buckets that do not fit the gradients are refused', async (t) => {
  const { graph } = model({ input: tensor(2), layers: linear(2) });
  const training = buildTrainingGraph(graph, { batch: 1, loss: 'mse' });
  t.throws(() => cutIntoSegments(training, [['weight']]), { message: /no bucket has bias/ });
  t.throws(() => cutIntoSegments(training, [['weight', 'bias', 'other']]), {
    message: /"other" has no gradient/,
  });
  t.throws(() => cutIntoSegments(training, [['weight'], ['weight', 'bias']]), { message: /two buckets/ });
  t.throws(() => cutIntoSegments(training, [['weight', 'bias'], []]), { message: /without parameters/ });
});
