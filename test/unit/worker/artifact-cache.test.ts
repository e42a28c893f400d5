import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { sha256 } from '../../../base/index.js';
import { ArtifactCache } from '../../../worker/daemon/index.js';

const bytes = Buffer.from('weights and data'.repeat(1000));
const hash = sha256(bytes);

async function folder(t: Tap): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'dtrain-test-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}
type Tap = { teardown(end: () => Promise<void>): void };

/** Counts how often it is asked. */
function source(chunks: readonly Uint8Array[]) {
  const asked = { times: 0 };
  const from = async function* () {
    asked.times++;
    for (const chunk of chunks) yield await Promise.resolve(chunk);
  };
  return { asked, from };
}

t.test('fetched once, however many ask, and found again', async (t) => {
  const root = await folder(t);
  const cache = new ArtifactCache(root);
  const { asked, from } = source([bytes.subarray(0, 7), bytes.subarray(7)]);
  const [a, b] = await Promise.all([cache.get(hash, from), cache.get(hash, from)]);
  t.equal(a, b);
  t.same(await readFile(a), bytes);
  t.equal(await new ArtifactCache(root).get(hash, from), a);
  t.equal(asked.times, 1);
});

t.test('bytes that do not match are thrown away', async (t) => {
  const root = await folder(t);
  const cache = new ArtifactCache(root);
  await t.rejects(cache.get(hash, source([Buffer.from('something else')]).from), {
    code: 'bad_artifact',
    message: /arrived with the hash/,
  });
  t.same(await readdir(join(root, hash.slice(0, 2))), [], 'nothing is left behind');
  t.equal(
    await readFile(await cache.get(hash, source([bytes]).from)).then((found) => found.length),
    bytes.length,
  );
  await t.rejects(cache.get('../../etc/passwd', source([bytes]).from), { message: /not a SHA-256/ });
});

t.test('a copy damaged on disk is fetched again', async (t) => {
  const cache = new ArtifactCache(await folder(t));
  const { asked, from } = source([bytes]);
  const path = await cache.get(hash, from);
  await writeFile(path, 'damaged');
  t.same(await readFile(await cache.get(hash, from)), bytes);
  t.equal(asked.times, 2);
  t.equal((await readdir(dirname(path))).length, 1);
});

t.test('a source that fails leaves nothing', async (t) => {
  const root = await folder(t);
  const failing = async function* () {
    yield await Promise.resolve(bytes);
    throw new TypeError('the line went dead');
  };
  await t.rejects(new ArtifactCache(root).get(hash, failing), { message: /went dead/ });
  t.same(await readdir(join(root, hash.slice(0, 2))), []);
});
