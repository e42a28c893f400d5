import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createEngine } from '../../../worker/engine/index.js';
import { gradcheck, loadCase } from '../../../worker/gradcheck/index.js';
import { repositoryRoot } from '../../root.js';
import { useSwiftShader } from '../../swiftshader.js';
import { withoutWebgl } from '../../webgl.js';
import { trajectoryBound } from './trajectory.js';

const MODELS = join(repositoryRoot, 'test/fixtures/models');
const CASES = readdirSync(MODELS);
/** In software a GPU takes its time; the others pass too. */
const FEW = ['tabular', 'mlp', 'keyword-spotting', 'text-classifier', 'gpt'];

t.setTimeout(300_000);
for (const { device, cases, skip } of [
  { device: 'wasm', cases: CASES, skip: false },
  { device: 'webgpu', cases: FEW, skip: useSwiftShader() },
  { device: 'webgl', cases: ['tabular', 'mlp', 'lstm'], skip: withoutWebgl() },
] as const) {
  t.test(`PyTorch's numbers on gpujs, ${device}`, { skip }, async (t) => {
    const engine = await createEngine('gpujs', { device, threads: 1 });
    t.teardown(() => engine.dispose());
    for (const name of cases) {
      const result = await gradcheck(await loadCase(join(MODELS, name)), engine, 1e-3);
      t.match(result, { case: name, pass: true, unsupported: [], engine: 'gpujs' });
      // the promise is 1e-3; float32 gives far less, and a slip in a kernel shows here first
      t.ok(result.outputError! < 1e-5, `${name}: output ${result.outputError}`);
      t.ok(result.worstGradient!.error < 1e-5, `${name}: ${JSON.stringify(result.worstGradient)}`);
      t.ok(result.trajectoryError! < trajectoryBound(name), `${name}: trajectory ${result.trajectoryError}`);
    }
  });
}
