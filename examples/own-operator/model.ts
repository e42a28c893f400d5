// The classifier of examples/tabular with an activation of our own between its layers.
import { custom, linear, model, ones, sequential, tensor, type Layer } from 'dtrain/nn';
import snake from './snake.js';

const wave = (): Layer => ({
  apply: (x, scope) => custom(snake, x, scope.parameter('alpha', [x.lengthAt(-1, 'snake')], ones)),
});

export default model({
  name: 'moons',
  input: tensor(4),
  layers: sequential(linear(32), wave(), linear(32), wave(), linear(2)),
  seed: 3,
});
