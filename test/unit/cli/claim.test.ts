import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CLAIM_FILE, claimOutput } from '../../../cli/submit/claim.js';

t.test(
  'a claim is in the folder, for its owner alone, and can be withdrawn with the folders made',
  async (t) => {
    const folder = t.testdir({ kept: {} });
    const claim = await claimOutput(folder, 'kept/a/b');
    const file = join(claim.proof.directory, CLAIM_FILE);
    t.equal(readFileSync(file, 'utf8'), claim.proof.token);
    t.equal(statSync(file).mode & 0o777, 0o600);
    await claim.withdraw();
    t.notOk(existsSync(join(folder, 'kept/a')));
    t.ok(existsSync(join(folder, 'kept')), 'what was there before stays');
  },
);

t.test('a folder with something in it stays', async (t) => {
  const folder = t.testdir({});
  const claim = await claimOutput(folder, 'out');
  writeFileSync(join(folder, 'out', 'theirs'), '');
  await claim.withdraw();
  t.ok(existsSync(join(folder, 'out', 'theirs')));
  t.notOk(existsSync(join(folder, 'out', CLAIM_FILE)));
});

t.test('a folder that cannot be made is named', async (t) => {
  const folder = t.testdir({ file: 'x' });
  await t.rejects(claimOutput(folder, 'file/out'), { code: 'output_not_writable', message: /file\/out/ });
});
