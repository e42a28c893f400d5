import t from 'tap';
import {
  createEngine,
  engineNamed,
  engineNames,
  EngineUnavailableError,
} from '../../../worker/engine/index.js';
import { useSwiftShader } from '../../swiftshader.js';
import { withoutWebgl } from '../../webgl.js';
import { engineConformance, type EngineTraits } from './suite.js';

// GPUs in software compile slowly
t.setTimeout(180_000);
for (const name of ['onnxruntime', 'reference'] as const) {
  void t.test(name, (t) => engineConformance(t, () => createEngine(name, { threads: 1 })));
}

void t.test('onnxruntime on webgpu', { skip: useSwiftShader() }, (t) =>
  engineConformance(t, () => createEngine('onnxruntime', { device: 'webgpu', threads: 1 })),
);

/** All values are float32 on its devices. */
const GPUJS: EngineTraits = {
  computes: ['float32', 'int64', 'int32', 'bool'],
  largestInteger: 2n ** 24n,
};

for (const { device, skip } of [
  { device: 'cpu', skip: false },
  { device: 'wasm', skip: false },
  { device: 'webgpu', skip: useSwiftShader() },
  { device: 'webgl', skip: withoutWebgl() },
] as const) {
  void t.test(`gpujs on ${device}`, { skip }, (t) =>
    engineConformance(t, () => createEngine('gpujs', { device, threads: 1 }), GPUJS),
  );
}
void t.test('gpujs on wasm, with threads', (t) =>
  engineConformance(t, () => createEngine('gpujs', { device: 'wasm:0', threads: 2 }), GPUJS),
);

void t.test('what is not there is named, with what is', async (t) => {
  t.equal(engineNamed('onnxruntime'), 'onnxruntime');
  t.throws(() => engineNamed('tensorflow'), EngineUnavailableError);
  t.throws(() => engineNamed('tensorflow'), {
    family: 'user',
    message: /"tensorflow".*onnxruntime.*gpujs.*reference/,
  });
  for (const name of engineNames) {
    await t.rejects(createEngine(name, { device: 'cuda:0' }), { family: 'user', message: /"cuda:0"/ });
  }
});
