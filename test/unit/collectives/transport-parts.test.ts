import fc from 'fast-check';
import t from 'tap';
import { DEFAULT_LIMITS, TransportError, type Member } from '../../../collectives/index.js';
import {
  encodeJson,
  helloOf,
  parseHello,
  parseReply,
  refusalOf,
} from '../../../collectives/transport/handshake.js';
import { Admissions } from '../../../collectives/transport/admissions.js';
import { SendQueue } from '../../../collectives/transport/queue.js';

const member: Member = { job: 'job', epoch: 2, rank: 1, worldSize: 3 };
const caller: Member = { ...member, rank: 0 };
const hello = helloOf(caller, 1, DEFAULT_LIMITS, 'ring');

void t.test('a hello that belongs here is let in; any difference is told', (t) => {
  t.equal(refusalOf(hello, member, DEFAULT_LIMITS), undefined);
  t.strictSame(parseHello(encodeJson(hello)), hello);
  const refused = (change: object): string =>
    refusalOf({ ...hello, ...change }, member, DEFAULT_LIMITS) ?? 'let in';
  t.match(refused({ dtrain: '9.9.9' }), /version 9\.9\.9 .* install the same dtrain/);
  t.match(refused({ frames: 99 }), /frames 99/);
  t.match(refused({ from: 1 }), /rank 1 cannot be a peer of rank 1/);
  t.match(refused({ from: 3 }), /rank 3 cannot be a peer/);
  t.match(refused({ purpose: '' }), /purpose is a name of 1 to 200 characters/);
  t.match(refused({ purpose: 'a\nb' }), /without control characters/);
  t.match(refused({ limits: [1, 2, 3] }), /limits 1, 2, 3 .* differ from/);
  t.end();
});

void t.test('whatever a stranger says is read without harm', (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.json().map((text) => Buffer.from(text)),
      ),
      (bytes) => {
        t.equal(parseHello(bytes), undefined);
        t.equal(parseReply(bytes), undefined);
      },
    ),
    { numRuns: 200 },
  );
  t.equal(parseHello(Buffer.alloc(5000, '{')), undefined, 'too long');
  t.strictSame(parseReply(Buffer.from('{"refused":"no"}')), { refused: 'no' });
  const welcome = { endpoints: ['tcp://127.0.0.1:1'], token: 'x', lane: '/dev/shm/a' };
  t.strictSame(parseReply(encodeJson({ welcome })), { welcome });
  t.equal(parseReply(Buffer.from('{"welcome":{"endpoints":[],"token":"x"}}')), undefined);
  t.equal(parseReply(Buffer.from('{"welcome":{"endpoints":[1],"token":"x"}}')), undefined);
  t.end();
});

void t.test('each purpose once, and no peer without bound', (t) => {
  const admissions = new Admissions();
  for (let i = 0; i < 64; i++) t.equal(admissions.admit({ from: 1, purpose: `stream ${i}` }), undefined);
  t.match(admissions.admit({ from: 1, purpose: 'stream 3' }), /already joined "stream 3"/);
  t.match(admissions.admit({ from: 1, purpose: 'one more' }), /64 edges here/);
  t.equal(admissions.admit({ from: 2, purpose: 'stream 3' }), undefined);
  admissions.forget({ from: 1, purpose: 'stream 3' });
  t.equal(admissions.admit({ from: 1, purpose: 'stream 3' }), undefined);
  t.end();
});

void t.test('a send queue keeps order and count; short messages go together', (t) => {
  const queue = new SendQueue(10_000, 4);
  const short = (text: string): Uint8Array[] => [Buffer.from(text)];
  queue.push(short('a'));
  queue.push([Buffer.from('b'), Buffer.from('c')]);
  queue.push([Buffer.alloc(5000)]);
  queue.push(short('d'));
  t.equal(queue.queuedBytes, 5004);
  t.equal(Buffer.concat(queue.takeTogether() ?? []).toString(), 'abc');
  t.equal(queue.takeTogether()?.[0]?.length, 5000);
  t.equal(queue.queuedBytes, 1);
  t.equal(Buffer.concat(queue.takeTogether() ?? []).toString(), 'd');
  t.equal(queue.takeTogether(), undefined);
  t.ok(queue.empty);
  queue.push([Buffer.alloc(9999)]);
  t.throws(() => queue.push(short('xx')), TransportError);
  queue.clear();
  t.equal(queue.queuedBytes, 0);
  t.end();
});
