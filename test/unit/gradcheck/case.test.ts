import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readSafetensors, writeSafetensors, type Tensor } from '../../../graph/index.js';
import { loadCase } from '../../../worker/gradcheck/index.js';
import { distance } from '../../../worker/gradcheck/check.js';
import { repositoryRoot } from '../../root.js';

/** A copy of the smallest case, to be spoiled. */
async function copyOf(t: Test): Promise<string> {
  const folder = t.testdir();
  await cp(join(repositoryRoot, 'test/fixtures/models/tabular'), folder, { recursive: true });
  return folder;
}

async function changeDescription(folder: string, change: Record<string, unknown>): Promise<void> {
  const path = join(folder, 'case.json');
  const description = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  await writeFile(path, JSON.stringify({ ...description, ...change }));
}

async function changeTensors(folder: string, change: (tensors: Map<string, Tensor>) => void): Promise<void> {
  const path = join(folder, 'case.safetensors');
  const tensors = new Map(readSafetensors(await readFile(path)).tensors);
  change(tensors);
  await writeFile(path, writeSafetensors(tensors));
}

t.test('a case is read whole', async (t) => {
  const found = await loadCase(join(repositoryRoot, 'test/fixtures/models/tabular'));
  t.equal(found.name, 'tabular');
  t.same(found.checked, found.parameters);
  t.equal(found.lossAtStep.length, 5);
});

t.test('what is missing or does not fit is named with its file', async (t) => {
  const spoil: readonly (readonly [string, RegExp, (folder: string) => Promise<void>])[] = [
    ['no description', /case\.json cannot be read/, (f) => rm(join(f, 'case.json'))],
    ['no model', /model\.onnx/, (f) => rm(join(f, 'model.onnx'))],
    ['no values', /case\.safetensors cannot be read/, (f) => rm(join(f, 'case.safetensors'))],
    ['not JSON', /case\.json is not JSON/, (f) => writeFile(join(f, 'case.json'), '{')],
    [
      'a loss that is none',
      /case\.json: loss: found "hinge"/,
      (f) => changeDescription(f, { loss: 'hinge' }),
    ],
    ['no steps', /lossAtStep/, (f) => changeDescription(f, { lossAtStep: [] })],
    [
      'unknown parameter',
      /parameter "w", which .*model\.onnx does not have/,
      (f) => changeDescription(f, { parameters: ['w'] }),
    ],
    ['unknown input', /has no "y"; the case needs it/, (f) => changeDescription(f, { inputs: ['y'] })],
    [
      'no gradient',
      /has no "grad\.0\.weight"/,
      (f) => changeTensors(f, (all) => all.delete('grad.0.weight')),
    ],
    [
      'gradient of another shape',
      /"after\.0\.bias" is float32\[.*\], the model's is float32\[/,
      (f) => changeTensors(f, (all) => all.set('after.0.bias', all.get('after.0.weight')!)),
    ],
    [
      'truncated model',
      /model\.onnx/,
      (f) => writeFile(join(f, 'model.onnx'), new Uint8Array([8, 8, 58, 200])),
    ],
  ];
  for (const [name, message, act] of spoil) {
    await t.test(name, async (t) => {
      const folder = await copyOf(t);
      await act(folder);
      await t.rejects(loadCase(folder), { family: 'user', message });
    });
  }
});

t.test('parameters that the exporter lost are not asked for', async (t) => {
  const folder = await copyOf(t);
  await changeDescription(folder, { parameters: ['0.weight', 'lost'], parametersMissingInOnnx: ['lost'] });
  t.same((await loadCase(folder)).checked, ['0.weight']);
});

t.test('the distance is relative, over all pairs together', (t) => {
  t.equal(distance([[[1, 2], [1, 2]]]), 0); // prettier-ignore
  t.equal(distance([[[3], [0]], [[0], [4]]]), 5 / (4 + 1e-8)); // prettier-ignore
  t.equal(distance([[BigInt64Array.of(2n), [1]]]), 1 / (1 + 1e-8));
  t.equal(distance([]), 0);
  t.throws(() => distance([[[1], []]]), { message: /1 values are compared with 0/ });
  t.end();
});
