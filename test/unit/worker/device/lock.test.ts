import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { DeviceLock } from '../../../../worker/device/index.js';

const folder = mkdtempSync(join(tmpdir(), 'dtrain-test-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

t.test('a GPU has one holder, who is named', async (t) => {
  const lock = DeviceLock.take('nvidia-GPU-1', 'a/webgpu:0', 'worker "a"', folder);
  t.throws(() => DeviceLock.take('nvidia-GPU-1', 'b/cuda:0', 'worker "b"', folder), {
    family: 'user',
    code: 'device_taken',
    message: `b/cuda:0 is taken: worker "a" (process ${process.pid})`,
  });
  t.match(DeviceLock.holder('nvidia-GPU-1', folder), /worker "a"/);
  DeviceLock.take('nvidia-GPU-2', 'a/webgpu:1', 'worker "a"', folder).release();
  lock.release();
  lock.release();
  t.equal(DeviceLock.holder('nvidia-GPU-1', folder), undefined);
  DeviceLock.take('nvidia-GPU-1', 'b/cuda:0', 'worker "b"', folder).release();
  t.strictSame(readdirSync(folder), [], 'nothing is left');
});

t.test('what a dead process left is ignored, and so is what is no lock', async (t) => {
  const { pid } = spawnSync(process.execPath, ['-e', '']);
  const path = join(folder, 'gpu-x.json');
  for (const text of [JSON.stringify({ pid, startedAt: '1', who: 'worker "gone"' }), 'half a li', '{}']) {
    writeFileSync(path, text);
    t.equal(DeviceLock.holder('gpu-x', folder), undefined);
    DeviceLock.take('gpu-x', 'a/webgpu:0', 'worker "a"', folder).release();
  }
  t.strictSame(readdirSync(folder), []);
});

t.test('a file that cannot be read or removed is no endless wait', async (t) => {
  mkdirSync(join(folder, 'gpu-z.json')); // as one of another user's in a folder whose files only their owners remove
  t.throws(() => DeviceLock.take('gpu-z', 'a/webgpu:0', 'worker "a"', folder), {
    family: 'user',
    code: 'device_lock',
    message: /^a\/webgpu:0: .*gpu-z\.json, which cannot be used: EISDIR.*; remove it/,
  });
  t.equal(DeviceLock.holder('gpu-z', folder), undefined);
  rmSync(join(folder, 'gpu-z.json'), { recursive: true });
  writeFileSync(join(folder, 'no-folder'), '');
  t.throws(() => DeviceLock.take('gpu-z', 'a/webgpu:0', 'worker "a"', join(folder, 'no-folder')), {
    code: 'device_lock',
  });
  rmSync(join(folder, 'no-folder'));
  t.strictSame(readdirSync(folder), []);
});

t.test(
  'a process that has the number of a dead one is another',
  { skip: process.platform !== 'linux' && 'only Linux tells when a process started' },
  async (t) => {
    writeFileSync(
      join(folder, 'gpu-y.json'),
      JSON.stringify({ pid: process.pid, startedAt: '1', who: 'worker "before"' }),
    );
    t.equal(DeviceLock.holder('gpu-y', folder), undefined);
    DeviceLock.take('gpu-y', 'a/webgpu:0', 'worker "a"', folder).release();
  },
);
