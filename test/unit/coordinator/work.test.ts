import t from 'tap';
import { workOf } from '../../../coordinator/prepare/work.js';
import { buildTrainingGraph } from '../../../graph/index.js';
import { linear, model, relu, sequential, tensor } from '../../../graph/nn/index.js';

const { graph } = model({ input: tensor(6), layers: sequential(linear(8), relu(), linear(4)) });
const at = (batch: number) => {
  const training = buildTrainingGraph(graph, { batch, loss: 'cross_entropy' });
  return workOf(training.graph, batch, new Set(training.gradients.values()));
};

t.equal(workOf(undefined, 2).launches, 0);
const [few, many] = [at(4), at(64)];
t.equal(few.productFlops, many.productFlops, 'products grow with the samples');
t.equal(few.productFlops, 2 * (2 * 6 * 8 + 3 * 8 * 4), 'forward twice, and the inner gradient');
t.equal(few.fixedBytes, many.fixedBytes, 'weights do not');
const weights = 4 * (6 * 8 + 8 * 4);
const inner = 4 * 8 * 4;
const gradients = weights + 4 * (8 + 4);
t.ok(few.fixedBytes! >= 3 * (weights + inner + gradients), `${few.fixedBytes} bytes`);
t.ok(few.fixedBytes! <= 3 * (weights + inner + gradients) + 3 * 4 * (8 + 4) + 100, 'biases, and constants');
