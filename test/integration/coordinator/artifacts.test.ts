import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { sha256 } from '../../../base/index.js';
import { dataBytes, setUp, type ProblemBody } from './fixture.js';
import { ScriptedWorker } from './scripted-worker.js';

const { coordinator, rest, folder, ...setup } = await setUp();
t.teardown(() => setup.close());
const partial = () => readdirSync(join(folder, 'artifacts/partial'));
const url = (hash: string) => `${rest.url}/v1/artifacts/${hash}`;

t.test('upload, ask, upload again', async (t) => {
  const bytes = randomBytes(3_000_000);
  const hash = sha256(bytes);
  t.equal((await fetch(url(hash), { method: 'HEAD' })).status, 404);
  const first = await rest.upload(bytes);
  t.equal(first.status, 201);
  t.strictSame(await first.json(), { sha256: hash, bytes: bytes.length, reference: `sha256:${hash}` });
  const there = await fetch(url(hash), { method: 'HEAD' });
  t.match(
    { status: there.status, length: there.headers.get('content-length') },
    { status: 200, length: String(bytes.length) },
  );
  t.equal((await rest.upload(bytes)).status, 200);
  t.equal((await rest.upload(Buffer.alloc(0))).status, 201, 'an empty file is one too');
  t.strictSame(partial(), []);
});

t.test('bytes that are not what they are called', async (t) => {
  const hash = sha256('something else');
  const answer = await rest.upload(Buffer.from('these bytes'), hash);
  t.equal(answer.status, 400);
  t.match(await answer.json(), { code: 'artifact_hash_mismatch', detail: /thrown away/ });
  t.equal((await fetch(url(hash), { method: 'HEAD' })).status, 404);
  t.strictSame(partial(), []);
});

t.test('what is no hash, no bytes, no artifact', async (t) => {
  for (const name of ['abc', 'A'.repeat(64), '..%2f..%2fetc%2fpasswd']) {
    const answer = await rest.upload(Buffer.from('x'), name);
    t.match(
      { status: answer.status, body: (await answer.json()) as ProblemBody },
      { status: 400, body: { code: 'bad_hash' } },
      name,
    );
  }
  const json = await rest.ask<ProblemBody>('PUT', `/v1/artifacts/${sha256('x')}`, { a: 1 });
  t.match(json, { status: 415, body: { code: 'bad_media_type', detail: /octet-stream/ } });
  const large = await new Promise<number>((resolve, reject) => {
    const call = request(url(sha256('y')), {
      method: 'PUT',
      headers: { 'content-type': 'application/octet-stream', 'content-length': 2 ** 37 },
    });
    call.on('response', (response) => {
      resolve(response.statusCode!);
      call.destroy();
    });
    call.on('error', reject);
    call.flushHeaders();
  });
  t.equal(large, 413, 'refused before it is sent');
});

t.test('an upload that breaks off leaves nothing', async (t) => {
  const hash = sha256('never');
  await new Promise<void>((resolve) => {
    const call = request(url(hash), {
      method: 'PUT',
      headers: { 'content-type': 'application/octet-stream', 'content-length': 1000 },
    });
    call.on('error', () => resolve());
    call.write('a beginning', () => call.destroy());
  });
  while (partial().length > 0) await new Promise(setImmediate);
  t.equal((await fetch(url(hash), { method: 'HEAD' })).status, 404);
});

t.test('over gRPC', async (t) => {
  const worker = await ScriptedWorker.join(coordinator.grpcAddress);
  t.teardown(() => worker.close());
  t.strictSame(Buffer.from(await worker.artifact(sha256(dataBytes))), Buffer.from(dataBytes));
  const bytes = randomBytes(3 * 2 ** 20 + 17);
  t.match(await worker.put(sha256(bytes), bytes), { sha256: sha256(bytes), bytes: bytes.length });
  t.ok(bytes.equals(await worker.artifact(sha256(bytes))), 'in several chunks, there and back');
  t.match(await worker.put(sha256(''), Buffer.alloc(0)), { bytes: 0 });
  t.equal((await worker.artifact(sha256(''))).length, 0);
  const broken = Buffer.from(bytes);
  broken[2 ** 20 + 5]! ^= 1;
  await t.rejects(worker.put(sha256('z'), broken), { message: /thrown away/ });
  await t.rejects(worker.artifact(sha256('z')), { message: /NOT_FOUND: there is no artifact/ });
  await t.rejects(worker.artifact('../../etc/passwd'), { message: /not a SHA-256/ });
  t.strictSame(partial(), []);
});
