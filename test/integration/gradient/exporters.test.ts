// Models that today's exporters wrote (examples/exporting and likes), with what their frameworks computed for them.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ModelError, loadModel, unsupportedOperators } from '../../../graph/index.js';
import { createEngine } from '../../../worker/engine/index.js';
import { gradcheck, loadCase } from '../../../worker/gradcheck/index.js';
import { repositoryRoot } from '../../root.js';

const folder = join(repositoryRoot, 'test/fixtures/exporters');
const all = readdirSync(folder);
const cases = all.filter((name) => existsSync(join(folder, name, 'case.json')));

/** Parameters that a case leaves out: their gradient is rounding noise, or the exporter has rearranged them. */
const BESIDES: Readonly<Record<string, readonly string[]>> = {
  keras: ['B0__32', 'R0__31', 'W0__30'],
  optimum: [0, 1].map((layer) => `distilbert.transformer.layer.${layer}.attention.k_lin.bias`),
};

for (const name of cases) {
  t.test(`${name}: loss, gradients and steps are the framework's`, async (t) => {
    const found = await loadCase(join(folder, name));
    const { graph } = await loadModel(join(folder, name, 'model.onnx'));
    const expected = [...found.checked, ...(BESIDES[name] ?? [])];
    t.same([...graph.parameters.keys()].sort(), expected.sort(), 'these are parameters, and nothing else');
    t.same(unsupportedOperators(graph), [], 'a job takes it');
    const engine = await createEngine('onnxruntime', { threads: 1 });
    t.teardown(() => engine.dispose());
    const result = await gradcheck(found, engine, 1e-3);
    t.match(result, { pass: true, unsupported: [], skipped: [] });
    t.ok(result.worstGradient!.error < 1e-5, JSON.stringify(result.worstGradient));
    t.ok(result.trajectoryError! < 1e-5, `trajectory: ${result.trajectoryError}`);
  });
}

t.ok(cases.length >= 4);

t.test('what an optimizer merged or folded away is missed by name', async (t) => {
  const path = join(folder, 'pytorch-new-optimized/model.onnx');
  const error = await loadModel(path).catch((caught: unknown) => caught);
  t.ok(error instanceof ModelError);
  t.match(error, {
    code: 'bad_model',
    message: /lacks the module's parameter "1_weight" and 1 more.*optimize=False/,
  });
});

t.test('what an optimizer turned round is a parameter', async (t) => {
  const { graph } = await loadModel(join(folder, 'pytorch-new-folded/model.onnx'));
  t.same([...graph.parameters.keys()].sort(), ['0.bias', '2.bias', 'val_0', 'val_2']);
});
