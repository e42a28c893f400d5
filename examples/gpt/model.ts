// A small GPT over characters. Submit it as it is (model: model.ts in a job file): dtrain runs this module on your
// side and sends the graph that it exports.
import { gpt } from 'dtrain/nn';

export default gpt({
  vocabulary: 96, // printable ASCII and the line feed
  context: 64,
  width: 128,
  heads: 4,
  layers: 3,
  seed: 1,
});
