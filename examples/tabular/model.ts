// A classifier of table rows. Inputs: x, y, and the color column as two numbers (one-hot).
import { linear, model, relu, sequential, tensor } from 'dtrain/nn';

export default model({
  name: 'moons',
  input: tensor(4),
  layers: sequential(linear(32), relu(), linear(32), relu(), linear(2)),
  seed: 3,
});
