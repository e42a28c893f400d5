import t from 'tap';
import {
  createEngine,
  engineNamed,
  engineNames,
  EngineUnavailableError,
} from '../../../worker/engine/index.js';
import { engineConformance } from './suite.js';

for (const name of engineNames) {
  void t.test(name, (t) => engineConformance(t, () => createEngine(name, { threads: 1 })));
}

void t.test('what is not there is named, with what is', async (t) => {
  t.equal(engineNamed('onnxruntime'), 'onnxruntime');
  t.throws(() => engineNamed('gpujs'), EngineUnavailableError);
  t.throws(() => engineNamed('gpujs'), { family: 'user', message: /"gpujs".*onnxruntime.*reference/ });
  for (const name of engineNames) {
    await t.rejects(createEngine(name, { device: 'cuda:0' }), { family: 'user', message: /"cuda:0".*cpu/ });
  }
});
