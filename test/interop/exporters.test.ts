// Runs the scripts of examples/exporting and compares dtrain with the framework that each of them uses.
// DTRAIN_PYTHON names the Python to try (default /usr/bin/python3); what it has no packages for is skipped.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { loadModel } from '../../graph/index.js';
import { createEngine } from '../../worker/engine/index.js';
import { gradcheck, loadCase } from '../../worker/gradcheck/index.js';
import { repositoryRoot } from '../root.js';

const python = process.env.DTRAIN_PYTHON ?? '/usr/bin/python3';
const run = promisify(execFile);

const EXPORTS = [
  {
    name: 'PyTorch, torch.jit',
    script: 'pytorch_model.py',
    arguments: ['--exporter', 'old'],
    needs: ['torch', 'numpy'],
  },
  {
    name: 'PyTorch, torch.export',
    script: 'pytorch_model.py',
    arguments: ['--exporter', 'new'],
    needs: ['torch', 'onnxscript'],
  },
  {
    name: 'Keras',
    script: 'keras_model.py',
    arguments: [],
    needs: ['keras', 'tensorflow', 'tf2onnx'],
  },
  {
    name: 'Optimum',
    script: 'optimum_model.py',
    arguments: [],
    needs: ['transformers', 'optimum.exporters.onnx'],
  },
] as const;

t.setTimeout(240_000);

for (const { name, script, arguments: more, needs } of EXPORTS) {
  const missing = await missingOf(needs);
  const skip = missing.length > 0 && `${python} has no ${missing.join(', ')}`;
  t.test(`${name}: loss, gradients and steps are the framework's`, { skip }, async (t) => {
    const folder = join(t.testdir(), 'case');
    await run(python, [script, folder, ...more], {
      cwd: join(repositoryRoot, 'examples/exporting'),
      env: {
        ...process.env,
        OMP_NUM_THREADS: '1',
        HF_HUB_OFFLINE: '1',
        PYTHONDONTWRITEBYTECODE: '1',
        CUDA_VISIBLE_DEVICES: '',
      },
    });
    const found = await loadCase(folder);
    const { graph } = await loadModel(join(folder, 'model.onnx'));
    for (const parameter of found.checked) t.ok(graph.parameters.has(parameter), `${parameter} is trained`);
    const engine = await createEngine('onnxruntime', { threads: 1 });
    t.teardown(() => engine.dispose());
    const result = await gradcheck(found, engine, 1e-4);
    t.match(result, { pass: true, unsupported: [] });
    t.ok(result.worstGradient!.error < 1e-5, JSON.stringify(result.worstGradient));
  });
}

/** Packages that the Python lacks; looked up without importing them, which takes seconds. */
async function missingOf(packages: readonly string[]): Promise<readonly string[]> {
  if (!existsSync(python)) return [...packages];
  const program = `
import importlib.util, sys
def has(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
print(" ".join(name for name in sys.argv[1:] if not has(name)))`;
  const { stdout } = await run(python, ['-c', program, ...packages]);
  return stdout.split(/\s+/).filter((name) => name !== '');
}
