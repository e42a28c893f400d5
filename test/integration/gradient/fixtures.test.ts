import t from 'tap';
import {
  buildEvaluationGraph,
  buildTrainingGraph,
  evaluate,
  LOSS_SCALE,
  toReference,
} from '../../../graph/index.js';
import { loadFixture, relativeError, valuesOf } from './fixtures.js';

const cases = [
  ...['mlp', 'lenet', 'gpt', 'gpt-opset17', 'gpt-tied', 'text-classifier', 'tabular'],
  ...['autoencoder', 'keyword-spotting', 'resnet', 'vit'],
];

for (const name of cases) {
  t.test(`${name}: output, loss and gradients are PyTorch's`, async (t) => {
    const fixture = await loadFixture(name);
    const { graph, loss, inputs, tensors, parameters } = fixture;
    const shapes = Object.fromEntries(inputs.map((input) => [input, tensors.get(input)!.shape]));
    const targetShape = tensors.get('target')!.shape;
    const training = buildTrainingGraph(graph, { loss, shapes, targetShape, includeOutput: true });
    const values = valuesOf(fixture, training.target.name);
    const run = (scale: number) =>
      evaluate(
        training.graph,
        new Map(values).set(LOSS_SCALE, { dtype: 'float32', shape: [], data: Float64Array.of(scale) }),
      );
    const whole = run(1);
    const wanted = (key: string) => toReference(tensors.get(key)!).data;
    t.ok(relativeError(whole.get(training.output!)!.data, wanted('output')) < 1e-5, 'output');
    t.ok(relativeError(whole.get(training.loss)!.data, wanted('loss')) < 1e-5, 'loss');
    t.same([...training.gradients.keys()].sort(), [...parameters].sort(), 'every parameter has a gradient');
    t.same(training.withoutGradient, []);
    for (const [parameter, value] of training.gradients) {
      const error = relativeError(whole.get(value)!.data, wanted(`grad.${parameter}`));
      t.ok(error < 1e-5, `gradient of ${parameter}: ${error}`);
    }
    const half = run(0.25);
    t.same(half.get(training.loss)!.data, whole.get(training.loss)!.data, 'the loss is not scaled');
    const [parameter] = parameters;
    const value = training.gradients.get(parameter!)!;
    const scaled = half.get(value)!.data.map((gradient) => gradient * 4);
    t.ok(relativeError(scaled, whole.get(value)!.data) < 1e-12, 'gradients are');

    // where BatchNormalization trains, PyTorch's output in evaluation is another: see running-statistics.test.ts
    if (training.statistics.length > 0) return;
    const evaluation = buildEvaluationGraph(graph, { loss, shapes, targetShape });
    const evaluated = evaluate(evaluation.graph, values);
    t.ok(relativeError(evaluated.get(evaluation.output)!.data, wanted('output')) < 1e-5);
    t.ok(relativeError(evaluated.get(evaluation.loss)!.data, wanted('loss')) < 1e-5);
  });
}
