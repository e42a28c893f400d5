import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { defaultExportOf, exportsOf } from '../../../cli/submit/module.js';

/** Outside of every package: neither it nor the folders around it have a package.json. */
const folder = mkdtempSync(join(tmpdir(), 'dtrain-test-'));
const before = process.cwd();
process.chdir(folder); // the loader looks there, too
t.teardown(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true, force: true });
});

const MODEL = [
  `import { linear, model, tensor } from 'dtrain/nn';`,
  `import { WIDTH } from './width.js';`,
  `export default model({ input: tensor(2), layers: linear(WIDTH) });`,
].join('\n');

for (const [name, files] of [
  ['without a package.json', {}],
  ['as npm init makes it', { 'package.json': '{ "name": "mine", "version": "1.0.0", "main": "index.js" }' }],
  ['that says commonjs', { 'package.json': '{ "name": "mine", "type": "commonjs" }' }],
  ['that says module', { 'package.json': '{ "name": "mine", "type": "module" }' }],
] as const) {
  t.test(`modules are found from a folder ${name}`, async (t) => {
    for (const extension of ['ts', 'js']) {
      const at = join(folder, `${name.replaceAll(/\W/g, '-')}-${extension}`);
      mkdirSync(at);
      const all: Readonly<Record<string, string>> = {
        ...files,
        [`model.${extension}`]: MODEL,
        [`width.${extension}`]: 'export const WIDTH = 3;',
      };
      for (const [file, text] of Object.entries(all)) writeFileSync(join(at, file), text);
      const made = (await defaultExportOf(join(at, `model.${extension}`))) as { graph: { nodes: object[] } };
      t.equal(made.graph.nodes.length, 1, extension);
      t.match(await exportsOf(join(at, `width.${extension}`)), { WIDTH: 3 });
    }
  });
}

t.test('CommonJS stays what it is', async (t) => {
  writeFileSync(join(folder, 'old.js'), `const path = require('node:path');\nmodule.exports = path.sep;`);
  writeFileSync(join(folder, 'new.ts'), `import old from './old.js';\nexport default [old];`);
  t.same(await defaultExportOf(join(folder, 'old.js')), '/');
  t.same(await defaultExportOf(join(folder, 'new.ts')), ['/']);
});
