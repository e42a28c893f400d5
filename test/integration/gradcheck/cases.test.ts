import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createEngine, engineNames } from '../../../worker/engine/index.js';
import { gradcheck, loadCase } from '../../../worker/gradcheck/index.js';
import { compareGradients } from '../../../worker/gradcheck/check.js';
import { repositoryRoot } from '../../root.js';
import { trajectoryBound } from './trajectory.js';

const CASES = readdirSync(join(repositoryRoot, 'test/fixtures/models'));
/** Those that the slow float64 evaluator takes no more than a second for. */
const SMALL = ['mlp', 'lenet', 'gpt', 'gpt-opset17', 'gpt-tied', 'text-classifier', 'tabular'];
const folderOf = (name: string) => join(repositoryRoot, 'test/fixtures/models', name);

t.setTimeout(240_000);
for (const name of engineNames) {
  t.test(`PyTorch's numbers on ${name}`, async (t) => {
    const engine = await createEngine(name, { threads: 1 });
    t.teardown(() => engine.dispose());
    for (const folder of name === 'reference' ? SMALL : CASES) {
      const result = await gradcheck(await loadCase(folderOf(folder)), engine, 1e-3);
      t.match(result, { case: folder, pass: true, unsupported: [], engine: name });
      // the promise is 1e-3; float32 gives far less, and a slip in a rule shows here first
      t.ok(result.outputError! < 1e-5, `${folder}: output ${result.outputError}`);
      t.ok(result.lossError! < 1e-5, `${folder}: loss ${result.lossError}`);
      t.ok(result.worstGradient!.error < 1e-5, `${folder}: ${JSON.stringify(result.worstGradient)}`);
      t.ok(
        result.trajectoryError! < trajectoryBound(folder),
        `${folder}: trajectory ${result.trajectoryError}`,
      );
      t.ok(Object.keys(result.gradients).length > 0);
    }
  });
}

t.test('a wrong gradient fails, and is named', async (t) => {
  const engine = await createEngine('onnxruntime', { threads: 1 });
  t.teardown(() => engine.dispose());
  const found = await loadCase(folderOf('tabular'));
  const tensors = new Map(found.tensors);
  const key = `grad.${found.checked[2]!}`;
  const { data, ...type } = tensors.get(key)!;
  tensors.set(key, { ...type, data: (data as Float32Array).map((value) => value * 1.01) });
  const result = await gradcheck({ ...found, tensors }, engine, 1e-3);
  t.equal(result.pass, false);
  t.equal(result.worstGradient?.name, found.checked[2]);
  t.ok(Math.abs(result.worstGradient!.error - 0.01 / 1.01) < 1e-5);
  t.equal((await gradcheck({ ...found, tensors }, engine, 0.02)).pass, true, 'as tolerant as asked');
});

t.test('a gradient that is zero up to rounding is measured beside all of them', (t) => {
  const pairs = [
    { name: 'weight', ours: [3, 4.001], theirs: [3, 4] },
    { name: 'bias before a normalization', ours: [2e-8], theirs: [-1e-8] },
  ];
  const { gradients, zeroGradients } = compareGradients(pairs);
  t.strictSame(zeroGradients, ['bias before a normalization']);
  t.ok(Math.abs(gradients['weight']! - 0.001 / 5) < 1e-9);
  t.ok(gradients['bias before a normalization']! < 1e-8);
  const lost = compareGradients([pairs[0]!, { name: 'lost', ours: [0], theirs: [1e-3] }]);
  t.strictSame(lost.zeroGradients, [], 'not where the reference has a gradient');
  t.ok(lost.gradients['lost']! > 0.99);
  const invented = compareGradients([pairs[0]!, { name: 'invented', ours: [1e-3], theirs: [1e-9] }]);
  t.ok(invented.gradients['invented']! > 1, 'nor where we have one');
  t.end();
});

t.test('a NaN is no pass', async (t) => {
  const engine = await createEngine('onnxruntime', { threads: 1 });
  t.teardown(() => engine.dispose());
  const found = await loadCase(folderOf('tabular'));
  const tensors = new Map(found.tensors);
  const { data, ...type } = tensors.get('input')!;
  tensors.set('input', { ...type, data: (data as Float32Array).map(() => NaN) });
  const result = await gradcheck({ ...found, tensors }, engine, 1e-3);
  t.equal(result.pass, false);
  t.ok(Number.isNaN(result.worstGradient?.error));
});

t.test('operators without a rule are listed with their nodes', async (t) => {
  const engine = await createEngine('onnxruntime', { threads: 1 });
  t.teardown(() => engine.dispose());
  const found = await loadCase(folderOf('tabular'));
  const nodes = found.model.nodes.map((node) => ({ ...node, operator: 'Mystery', domain: 'elsewhere' }));
  const result = await gradcheck({ ...found, model: { ...found.model, nodes } }, engine, 1e-3);
  t.match(result, { pass: false, outputError: null, worstGradient: null, gradients: {} });
  t.same(
    result.unsupported.flatMap(({ nodes }) => nodes),
    nodes.map(({ name }) => name),
  );
});
