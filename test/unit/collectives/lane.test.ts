import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { CollectiveUsageError, TransportError } from '../../../collectives/index.js';
import { FileLane, privateFolder } from '../../../collectives/transport/lane.js';

const folder = mkdtempSync(join(tmpdir(), 'dtrain-test-lane-'));
t.teardown(() => rmSync(folder, { recursive: true }));

void t.test('what one end writes the other reads, mapped or not', (t) => {
  let n = 0;
  for (const [writes, reads] of [
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ] as const) {
    const path = join(folder, `lane${n++}`);
    const near = FileLane.create(path, 3, 100_000, writes)!;
    const far = FileLane.open(path, 3, 100_000, reads)!;
    if (!writes) t.notOk(near.mapped);
    for (const slot of [2, 0, 1, 2]) {
      const payload = Uint8Array.from({ length: 99_999 }, (_, i) => i * 7 + slot);
      near.write(slot, payload);
      payload.fill(0);
      const target = new Uint8Array(99_999);
      far.read(slot, target);
      t.ok(target.every((value, i) => value === ((i * 7 + slot) & 255)));
    }
    t.throws(() => near.write(3, new Uint8Array(1)), CollectiveUsageError);
    t.throws(() => near.write(0, new Uint8Array(100_001)), CollectiveUsageError);
    near.close();
    far.close();
    far.close();
    t.throws(() => near.write(0, new Uint8Array(1)), TransportError, 'unmapped memory is never touched');
    t.throws(() => far.read(0, new Uint8Array(1)), TransportError);
  }
  t.end();
});

void t.test('a file that is missing or of another size is no lane', (t) => {
  t.equal(FileLane.open(join(folder, 'nowhere'), 2, 100), undefined);
  const path = join(folder, 'other');
  const lane = FileLane.create(path, 2, 100)!;
  t.equal(FileLane.open(path, 2, 101), undefined);
  lane.close();
  t.end();
});

void t.test('mapping and unmapping over and over', (t) => {
  for (let round = 0; round < 200; round++) {
    const path = join(folder, `round${round}`);
    const lane = FileLane.create(path, 4, 65_536)!;
    lane.write(1, new Uint8Array(1000).fill(round));
    lane.close();
    rmSync(path);
  }
  t.pass();
  t.end();
});

void t.test('a private folder is for its owner alone', (t) => {
  const { path, inMemory } = privateFolder();
  t.equal(inMemory, path.startsWith('/dev/shm/'));
  rmSync(path, { recursive: true });
  t.end();
});
