import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { Scratch } from '../../../worker/daemon/index.js';

t.test('a folder for each executor, empty when it starts anew, gone with the daemon', (t) => {
  const scratch = new Scratch();
  const folder = scratch.renew(0);
  writeFileSync(join(folder, 'socket'), '');
  t.equal(scratch.renew(0), folder);
  t.same(readdirSync(folder), []);
  t.not(scratch.renew(1), folder);
  scratch.remove();
  t.notOk(existsSync(dirname(folder)));
  t.end();
});

t.test('what a killed daemon left is removed by the next', (t) => {
  const orphan = join(tmpdir(), 'dtrain-worker-999999999-abcdef');
  mkdirSync(orphan, { recursive: true });
  const scratch = new Scratch();
  t.teardown(() => scratch.remove());
  t.notOk(existsSync(orphan));
  t.end();
});
