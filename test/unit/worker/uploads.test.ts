import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { PeerError, sha256 } from '../../../base/index.js';
import type { Session } from '../../../worker/daemon/session.js';
import { Uploads } from '../../../worker/daemon/uploads.js';

/** A session that keeps what it is handed, and refuses what it is told to. */
function sessionThat(refuses: readonly string[] = []) {
  const handed: string[] = [];
  const putArtifact = async (hash: string) => {
    await Promise.resolve();
    if (refuses.includes(hash)) throw new PeerError('disk', 'no room');
    handed.push(hash);
  };
  return { handed, session: { putArtifact } as unknown as Session };
}

function filesOf(t: Test, ...texts: readonly string[]): readonly string[] {
  const folder = t.testdir();
  return texts.map((text) => {
    const path = join(folder, text);
    writeFileSync(path, text);
    return path;
  });
}

t.test('files go one after the other, are told of together, and are gone then', async (t) => {
  const { handed, session } = sessionThat();
  const uploads = new Uploads(() => session);
  const paths = filesOf(t, 'checkpoint', 'weights', 'trace');
  const told: (readonly string[])[] = [];
  const tell = (hashes: readonly string[]) => told.push(hashes);
  const failed = () => void t.fail('nothing was refused');
  uploads.put([paths[0]!], tell, failed);
  uploads.put([paths[1]!, paths[2]!], tell, failed);
  uploads.put([null, null], tell, failed);
  await uploads.settled();
  t.same(handed, [sha256('checkpoint'), sha256('weights'), sha256('trace')]);
  t.same(told, [[sha256('checkpoint')], [sha256('weights'), sha256('trace')], ['', '']], 'in order');
  t.notOk(paths.some((path) => existsSync(path)));
});

t.test('one that is refused fails all that was put with it', async (t) => {
  const { handed, session } = sessionThat([sha256('weights')]);
  const uploads = new Uploads(() => session);
  const paths = filesOf(t, 'weights', 'trace');
  const failures: string[] = [];
  uploads.put(
    paths,
    () => void t.fail('it was refused'),
    ({ code }) => failures.push(code),
  );
  uploads.put(
    [null],
    () => failures.push('none'),
    () => void t.fail('there is nothing to refuse'),
  );
  await uploads.settled();
  t.same(handed, []);
  t.same(failures, ['disk', 'none'], 'what was put later goes on');
  t.notOk(paths.some((path) => existsSync(path)));
});

t.test('without a session nobody is told, and the files are gone', async (t) => {
  const uploads = new Uploads(() => undefined);
  const paths = filesOf(t, 'weights');
  const told = () => void t.fail('nobody is there');
  uploads.put(paths, told, told);
  await uploads.settled();
  t.notOk(existsSync(paths[0]!));
});
