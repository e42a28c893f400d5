import { CommanderError } from 'commander';
import { Writable } from 'node:stream';
import t from 'tap';
import { InvariantError, PeerError, UserError } from '../../../base/index.js';
import { CoordinatorUnreachableError, InterruptedError, ProblemError } from '../../../cli/errors.js';
import { describeError, exitCodeOf } from '../../../cli/exit.js';
import { run } from '../../../cli/run.js';
import { createSession } from '../../../cli/session.js';

const problem = { type: 'urn:x', title: 'x', detail: 'y', code: 'c', ids: { job: 'j' } };

t.test('each error has its exit code', async (t) => {
  t.equal(exitCodeOf(new UserError('a', 'b')), 2);
  t.equal(exitCodeOf(new PeerError('a', 'b')), 1);
  t.equal(exitCodeOf(new InvariantError('b')), 1);
  t.equal(exitCodeOf(new TypeError('b')), 1);
  t.equal(exitCodeOf(new CoordinatorUnreachableError('http://x')), 3);
  t.equal(exitCodeOf(new InterruptedError()), 130);
  t.equal(exitCodeOf(new CommanderError(0, 'commander.helpDisplayed', '')), 0);
  t.equal(exitCodeOf(new CommanderError(1, 'commander.unknownOption', 'error: x')), 2);
  t.equal(exitCodeOf(new ProblemError({ ...problem, status: 404, family: 'user' })), 2);
  t.equal(exitCodeOf(new ProblemError({ ...problem, status: 503, family: 'peer' })), 1);
});

t.test('what is our own mistake says so, without a stack', async (t) => {
  const { code, message } = describeError(new TypeError('x is not a function'));
  t.equal(code, 'internal');
  t.match(message, /^x is not a function \(a mistake in dtrain/);
  t.notMatch(message, /\n/);
  t.strictSame(describeError(new ProblemError({ ...problem, status: 404, family: 'user' })), {
    family: 'user',
    code: 'c',
    message: 'y',
    ids: { job: 'j' },
  });
});

t.test('Ctrl-C while the devices of this host are tried is no mistake', async (t) => {
  const interrupt = new AbortController();
  let said = '';
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      said += chunk.toString();
      if (said.includes('looking for the devices of this host')) interrupt.abort('SIGINT');
      done();
    },
  });
  const streams = { stdout: stream, stderr: stream, env: {} };
  t.equal(await run(['devices'], createSession(streams, false, interrupt.signal)), 130, said);
  t.notMatch(said, /mistake/);
});
