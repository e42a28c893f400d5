import { mkdtempSync, rmSync, writeFileSync, appendFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { InvariantError, PeerError, UserError } from '../../../base/index.js';
import { checkHost, isLoopback } from '../../../coordinator/rest/host.js';
import { problemOf } from '../../../coordinator/rest/problem.js';
import { readLines, rowsDocument } from '../../../coordinator/rest/rows.js';
import { Waker } from '../../../coordinator/rest/waker.js';
import { ProblemSchema, validatorOf } from '../../../protocol/index.js';

t.test('errors become problem documents', (t) => {
  const validate = validatorOf(ProblemSchema);
  const cases: [Error, number][] = [
    [new UserError('job_not_found', 'no'), 404],
    [new UserError('duplicate_submission', 'no'), 409],
    [new UserError('data_label', 'row 3', { ids: { row: 3 } }), 422],
    [new PeerError('redis_unavailable', 'away'), 503],
    [new PeerError('anything', 'a peer'), 502],
    [new InvariantError('a secret of ours'), 500],
    [new TypeError('x is undefined'), 500],
    [Object.assign(new Error('too large'), { statusCode: 413 }), 413],
    [Object.assign(new Error('no JSON'), { statusCode: 400 }), 400],
  ];
  for (const [error, status] of cases) {
    const problem = validate(problemOf(error), 'problem');
    t.equal(problem.status, status, error.message);
    if (status === 500) t.notMatch(problem.detail, /secret|undefined/, 'what is inside stays inside');
    else t.equal(problem.detail, error.message);
  }
  t.match(problemOf(new UserError('data_label', 'row 3', { ids: { row: 3 } })), {
    type: 'urn:dtrain:problem:data_label',
    title: 'Unprocessable Entity',
    code: 'data_label',
    ids: { row: 3 },
  });
  t.end();
});

t.test('names that lead to loopback', (t) => {
  for (const host of ['127.0.0.1', 'localhost', '::1', '127.1.2.3']) t.ok(isLoopback(host), host);
  for (const host of ['0.0.0.0', '10.0.0.1', 'example.org', '::', '127.0.0.1.example.org'])
    t.notOk(isLoopback(host), host);
  for (const header of ['127.0.0.1:7700', 'localhost', 'LOCALHOST:80', '[::1]:7700', '127.0.0.2'])
    t.doesNotThrow(() => checkHost(header), header);
  for (const header of [
    undefined,
    '',
    'evil.example',
    'evil.example:7700',
    'localhost.evil.example',
    '[::2]:7700',
  ]) {
    t.throws(() => checkHost(header), { code: 'bad_host' }, String(header));
  }
  t.end();
});

t.test('lines of a growing file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dtrain-lines-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'rows.jsonl');
  t.strictSame(await readLines(path, 0), { lines: [], next: 0 }, 'not there yet');
  writeFileSync(path, '{"a":1}\n{"b":"ä"}\n{"c"');
  const first = await readLines(path, 0);
  t.strictSame(first.lines, ['{"a":1}', '{"b":"ä"}'], 'the unfinished one is left');
  t.match(await readLines(path, first.next), { lines: [], next: first.next });
  appendFileSync(path, ':3}\n');
  t.strictSame((await readLines(path, first.next)).lines, ['{"c":3}']);
  t.strictSame(
    (await readLines(path, 3)).lines,
    ['{"b":"ä"}', '{"c":3}'],
    'from the middle of a line: the next',
  );
  t.strictSame((await readLines(path, 9999)).lines.length, 3, 'behind its end: it was another file');
  const long = `{"d":"${'x'.repeat(200_000)}"}`;
  appendFileSync(path, `${long}\n`);
  const all: string[] = [];
  for (let at = 0; ;) {
    const { lines, next } = await readLines(path, at);
    if (lines.length === 0) break;
    all.push(...lines);
    at = next;
  }
  t.strictSame(all.length, 4);
  t.equal(all[3], long, 'a line longer than a block');
  const { file } = await readLines(path, 0);
  rmSync(path);
  writeFileSync(path, `{"e":5}\n${'{"f":6}\n'.repeat(1000)}`);
  t.equal((await readLines(path, first.next, file)).lines[0], '{"e":5}', 'begun anew, and longer already');
  t.equal((await readLines(path, 8)).lines[0], '{"f":6}');
  writeFileSync(path, '{"a":1}\n{"b":2}\n{"c":3}\n{"d":4}\n');
  let text = '';
  for await (const piece of rowsDocument(path)) text += piece;
  t.equal((JSON.parse(text) as { rows: unknown[] }).rows.length, 4);
  text = '';
  for await (const piece of rowsDocument(join(folder, 'none'))) text += piece;
  t.equal(text, '{"rows":[]}');
});

t.test('a sleeper', async (t) => {
  const waker = new Waker();
  waker.wake();
  t.ok(await waker.sleep(1e6), 'a call before the sleep is not lost');
  t.notOk(await waker.sleep(1));
  setImmediate(waker.wake);
  t.ok(await waker.sleep(1e6));
});
