import { join } from 'node:path';
import t from 'tap';
import { loadModel } from '../../../graph/index.js';
import { benchmarkStep } from '../../../worker/bench/index.js';
import { createEngine } from '../../../worker/engine/index.js';
import { repositoryRoot } from '../../root.js';

const modelOf = async (name: string) =>
  (await loadModel(join(repositoryRoot, 'test/fixtures/models', name, 'model.onnx'))).graph;

t.test('a step is measured beside its limit', async (t) => {
  const engine = await createEngine('onnxruntime', { threads: 1 });
  t.teardown(() => engine.dispose());
  const inputs = [{ name: 'input', dtype: 'int64', shape: [2, 16], high: 65 }] as const;
  const model = await modelOf('gpt');
  const result = await benchmarkStep(engine, {
    model,
    loss: 'cross_entropy',
    batch: 2,
    inputs,
    seconds: 0.05,
  });
  t.equal(result.tokens, 32);
  t.ok(result.rounds >= 7);
  const { forward, forwardAndBackward } = result.spread;
  t.equal(result.backwardSeconds, forwardAndBackward.medianSeconds - forward.medianSeconds);
  t.equal(result.stepSeconds, forwardAndBackward.medianSeconds + result.optimizerSeconds);
  // products of activations alone (attention) come on top of those of parameters
  const ofParameters = (6 * result.parameters * 32) / result.productFlops;
  t.ok(result.limitSeconds > 0.5 * ofParameters && result.limitSeconds < 2 * ofParameters);
  t.equal(result.ratio, result.stepSeconds / result.limitSeconds);
  for (const { minSeconds, medianSeconds, maxSeconds } of Object.values(result.spread)) {
    t.ok(minSeconds > 0 && minSeconds <= medianSeconds && medianSeconds <= maxSeconds);
  }

  const short = { model, loss: 'cross_entropy', batch: 2, seconds: 0 } as const;
  await t.rejects(benchmarkStep(engine, { ...short, inputs: [] }), {
    family: 'user',
    message: /--input input=int64\[2,16\]:HIGH/,
  });
  const wrong = { name: 'input', dtype: 'float32', shape: [2, 16], high: undefined } as const;
  await t.rejects(benchmarkStep(engine, { ...short, inputs: [wrong] }), {
    message: /--input input is float32/,
  });
});

t.test('targets of each loss', async (t) => {
  const engine = await createEngine('onnxruntime', { threads: 1 });
  t.teardown(() => engine.dispose());
  const model = await modelOf('tabular');
  for (const loss of ['binary_cross_entropy_with_logits', 'mse'] as const) {
    const result = await benchmarkStep(engine, { model, loss, batch: 4, inputs: [], seconds: 0 });
    t.equal(result.tokens, 4);
  }
});
