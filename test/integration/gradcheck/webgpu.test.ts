import { join } from 'node:path';
import t from 'tap';
import { createEngine } from '../../../worker/engine/index.js';
import { gradcheck, loadCase } from '../../../worker/gradcheck/index.js';
import { repositoryRoot } from '../../root.js';
import { useSwiftShader } from '../../swiftshader.js';

/** Dense layers with a loss of classes, embeddings of ids, a recurrence written out; the others pass too, but take longer. */
const CASES = ['mlp', 'tabular', 'lstm'];

t.test(
  "PyTorch's numbers on onnxruntime's WebGPU, nothing on the CPU",
  { skip: useSwiftShader() },
  async (t) => {
    const engine = await createEngine('onnxruntime', { device: 'webgpu', threads: 1, fallback: 'forbid' });
    t.teardown(() => engine.dispose());
    for (const name of CASES) {
      const started = performance.now();
      const result = await gradcheck(
        await loadCase(join(repositoryRoot, 'test/fixtures/models', name)),
        engine,
        1e-3,
      );
      t.match(result, { case: name, pass: true, fallbacks: [] });
      t.ok(result.worstGradient!.error < 1e-4, `${name}: ${JSON.stringify(result.worstGradient)}`);
      t.comment(`${name}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
    }
  },
);
