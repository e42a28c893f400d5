import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readJobFile } from '../../cli/submit/job-file.js';
import type { JobRecord } from '../../protocol/index.js';
import { repositoryRoot } from '../root.js';
import { UpCluster } from './cluster.js';

t.setTimeout(240_000);
const cluster = await UpCluster.start();
t.teardown(() => cluster.stop());

t.test('the table example: a model module, text columns, textual classes', async (t) => {
  const output = t.testdir({});
  const job = join(repositoryRoot, 'examples/tabular/job.yaml');
  const ended = await cluster.dtrain(['submit', job, '--follow', '--json', '--set', `output=${output}/out`]);
  t.equal(ended.code, 0, ended.stderr);
  const record = JSON.parse(ended.stdout) as JobRecord;
  t.ok(record.validationAccuracy! > 0.9, `accuracy ${record.validationAccuracy}`);
  rmSync(output, { recursive: true });
});

t.test('a model module that is wrong says where', async (t) => {
  const job = readFileSync(join(repositoryRoot, 'examples/tabular/job.yaml'), 'utf8');
  for (const [name, text, message] of [
    [
      'throws',
      'throw new RangeError("no width");',
      /job\.yaml:\d+: model: model\.ts: the module does not run: no width \(.*model\.ts:1/,
    ],
    ['is no TypeScript', 'const = ;', /model: model\.ts: the module does not run/],
    ['exports no model', 'export default 3;', /model: model\.ts: expected a model .* found 3/],
    ['imports what is not there', 'import "no-such-package";', /no-such-package/],
  ] as const) {
    const folder = t.testdir({ 'job.yaml': job, 'model.ts': text });
    const ended = await cluster.ask(['submit', 'job.yaml', '--json'], folder);
    t.equal(ended.code, 2, `${name}: ${ended.stderr}`);
    t.match(JSON.parse(ended.stdout), { error: { code: 'bad_model', message } }, name);
  }
});

t.test('every job file among the examples fits the schema', async (t) => {
  for (const name of ['demo', 'own-operator', 'tabular', 'pytorch']) {
    t.ok(await readJobFile(join(repositoryRoot, 'examples', name, 'job.yaml'), repositoryRoot), name);
  }
});
