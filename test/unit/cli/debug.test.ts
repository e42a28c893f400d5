import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { inspectorAddress } from '../../../cli/debug/inspector.js';
import { short, valueText } from '../../../cli/debug/text.js';
import { exitCodeOf } from '../../../cli/exit.js';
import { createProgram } from '../../../cli/program.js';
import { createSession } from '../../../cli/session.js';
import { mlpJob } from '../../e2e/jobs.js';

type Terminal = PassThrough & { readonly isTTY: boolean };

/** Runs the command on a terminal on which somebody has typed `lines`. */
async function typed(cwd: string, lines: readonly string[], ...words: readonly string[]) {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()].map((stream) =>
    Object.assign(stream, { isTTY: true }),
  ) as [Terminal, Terminal, Terminal];
  const out = text(stdout);
  const session = {
    ...createSession({ stdin, stdout, stderr, env: {} }, false, new AbortController().signal),
    cwd,
  };
  stderr.resume();
  // one answer for each question, as somebody would
  const open = [...lines];
  stdout.on('data', (chunk: Buffer) => {
    if (!chunk.toString().includes('debug> ')) return;
    const line = open.shift();
    if (line === undefined) stdin.end();
    else stdin.write(`${line}\n`);
  });
  let code: number;
  try {
    await createProgram(session).parseAsync(['node', 'dtrain', 'debug', 'job.yaml', '--rows', '2', ...words]);
    code = session.exitCode;
  } catch (error) {
    code = exitCodeOf(error);
    stdout.write(String(error));
  }
  stdout.end();
  return { code, out: await out };
}

t.test('the prompt: step, print, look around, one more break, continue', async (t) => {
  const lines = [
    'w',
    'p input',
    'p nothing',
    'i',
    'o',
    'what',
    'n',
    'b loss/LogSoftmax',
    'c',
    'p loss*',
    'c',
  ];
  const { code, out } = await typed(t.testdir(mlpJob()), lines);
  t.equal(code, 0);
  const nodes = [...out.matchAll(/^node (\d+) of \d+: "(.*?)"/gm)].map(([, at, name]) => [at, name]);
  t.equal(nodes.length, 4, 'the first, where, the second, the one that was asked for');
  t.same(nodes[0], nodes[1]);
  t.equal(nodes[2]![0], '2');
  t.equal(nodes[3]![1], 'loss/LogSoftmax');
  t.match(out, /input {2}float32\[2,1,28,28\]/);
  t.match(out, /nothing is known yet by the name nothing/);
  t.match(out, /n, next +compute the next node/);
  t.match(out, /step 0, 2 of a batch of 32: \d+ nodes, loss \d/);
});

t.test('the prompt: quit, and the end of the input', async (t) => {
  const cwd = t.testdir(mlpJob());
  for (const lines of [['q'], []]) {
    const { code, out } = await typed(cwd, lines);
    t.equal(code, 0);
    t.match(out, /step 0, 2 of a batch of 32: 1 of \d+ nodes/);
  }
});

t.test('what is typed ahead of the questions is not lost; Ctrl-C at the prompt ends with 130', async (t) => {
  const cwd = t.testdir(mlpJob());
  const ahead = await typed(cwd, ['n\nn\nc']);
  t.equal(ahead.code, 0);
  t.equal([...ahead.out.matchAll(/node \d+ of/g)].length, 3);
  const { code } = await typed(cwd, ['\x03']);
  t.equal(code, 130);
});

t.test('a wrong name at the prompt is told, and the prompt comes back', async (t) => {
  const { code, out } = await typed(t.testdir(mlpJob()), ['b nowhere', 'c']);
  t.equal(code, 0);
  t.match(out, /nowhere: no node .* the closest/);
  t.match(out, /: \d+ nodes, loss/);
});

t.test('addresses of the inspector', async (t) => {
  t.same(inspectorAddress(true), { host: '127.0.0.1', port: 9229 });
  t.same(inspectorAddress('9300'), { host: '127.0.0.1', port: 9300 });
  t.same(inspectorAddress('0.0.0.0:0'), { host: '0.0.0.0', port: 0 });
  t.same(inspectorAddress('localhost'), { host: 'localhost', port: 9229 });
  t.same(inspectorAddress('[::1]:9229'), { host: '::1', port: 9229 });
  for (const bad of ['127.0.0.1:99999', 'a:b', ':', '']) {
    t.throws(() => inspectorAddress(bad), { message: /HOST:PORT/ }, bad);
  }
});

t.test('numbers and values as people read them', async (t) => {
  t.same([0, 12, 1.23456, 1e-9, 1234567.5].map(short), ['0', '12', '1.235', '1.000e-9', '1.235e+6']);
  const value = { name: 'x', dtype: 'float32', shape: [2], count: 2, zeros: 0, nan: 1, infinite: 1 } as const;
  const none = { min: null, max: null, mean: null, std: null, first: ['NaN', 'Infinity'] } as const;
  t.equal(
    valueText({ ...value, ...none }),
    'x  float32[2]  no finite element  NaN 1  Inf 1\n  NaN, Infinity',
  );
});
