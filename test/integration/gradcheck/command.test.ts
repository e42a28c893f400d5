import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { join } from 'node:path';
import t from 'tap';
import { exitCodeOf } from '../../../cli/exit.js';
import { createProgram } from '../../../cli/program.js';
import { createSession } from '../../../cli/session.js';
import { repositoryRoot } from '../../root.js';

const folderOf = (name: string) => join(repositoryRoot, 'test/fixtures/models', name);

/** Runs the command line in this process. */
async function dtrain(...words: readonly string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const session = createSession(
    { stdout, stderr, env: {} },
    words.includes('--json'),
    new AbortController().signal,
  );
  let code: number;
  try {
    await createProgram(session).parseAsync(['node', 'dtrain', ...words]);
    code = session.exitCode;
  } catch (error) {
    code = exitCodeOf(error);
    session.terminal.fail(error);
  }
  stdout.end();
  stderr.end();
  return { code, out: await text(stdout), err: await text(stderr) };
}

t.test('a case that passes: exit 0, one document with the fields of the contract', async (t) => {
  const { code, out, err } = await dtrain('gradcheck', folderOf('tabular'), '--json');
  t.equal(code, 0);
  t.equal(err, '');
  const answer = JSON.parse(out) as Record<string, unknown>;
  t.match(answer, {
    case: 'tabular',
    pass: true,
    outputError: Number,
    lossError: Number,
    worstGradient: { name: String, error: Number },
    gradients: { '0.weight': Number },
    trajectoryError: Number,
    unsupported: [],
  });
});

t.test('a case that fails: exit 1, and the table says what is over', async (t) => {
  const { code, out } = await dtrain('gradcheck', folderOf('tabular'), '--rtol', '1e-12');
  t.equal(code, 1);
  t.match(out, /tabular on onnxruntime \(cpu, \d+ threads?\): FAIL/);
  t.match(out, /gradient of 0\.weight +\d\.\d\de-\d+ {2}over/);
});

t.test('the reference engine answers too', async (t) => {
  const { code, out } = await dtrain('gradcheck', folderOf('tabular'), '--engine', 'reference');
  t.equal(code, 0);
  t.match(out, /tabular on reference .*pass/);
});

t.test('input that cannot be used: exit 2, with what would be accepted', async (t) => {
  for (const [words, message] of [
    [['gradcheck', '/nonexistent'], /case\.json cannot be read/],
    [['gradcheck', folderOf('tabular'), '--rtol', 'x'], /--rtol x: write a number above 0/],
    [['gradcheck', folderOf('tabular'), '--engine', 'tensorflow'], /"tensorflow".*onnxruntime/],
    [['gradcheck', folderOf('tabular'), '--device', 'abacus'], /"abacus".*cpu/],
    [['gradcheck'], /missing required argument/],
    [['bench', 'step', '--model', '/nonexistent.onnx', '--loss', 'mse', '--batch', '4'], /nonexistent\.onnx/],
    [['bench', 'step', '--model', 'x', '--loss', 'hinge', '--batch', '4'], /cross_entropy, mse/],
    [
      ['bench', 'step', '--model', 'x', '--loss', 'mse', '--batch', 'many'],
      /--batch many: write a whole number/,
    ],
  ] as const) {
    const { code, err } = await dtrain(...words);
    t.equal(code, 2, words.join(' '));
    t.match(err, message);
  }
});

t.test('bench step answers with the parts, the limit and the ratio', async (t) => {
  const model = join(folderOf('tabular'), 'model.onnx');
  const words = [
    'bench',
    'step',
    '--model',
    model,
    '--loss',
    'mse',
    '--batch',
    '4',
    '--threads',
    '1',
    '--seconds',
    '0',
  ];
  const { code, out } = await dtrain(...words, '--json');
  t.equal(code, 0);
  const numbers = [
    'forwardSeconds',
    'backwardSeconds',
    'optimizerSeconds',
    'samplesPerSecond',
    'limitSeconds',
    'ratio',
  ];
  t.match(JSON.parse(out), { batch: 4, ...Object.fromEntries(numbers.map((name) => [name, Number])) });
  const { out: table } = await dtrain(...words);
  t.match(table, /optimizer .* ms[\s\S]*samples\/s[\s\S]*the step takes [\d.]+ times/);
});
