import t from 'tap';
import { writeGraph } from '../../graph/index.js';
import { flatten, fn, linear, model, sequential, tensor } from '../../graph/nn/index.js';
import { InspectorClient } from './inspector-client.js';
import { mlpJob } from './jobs.js';
import { command } from './in-process.js';
import { Dtrain, dtrain } from './process.js';

t.setTimeout(120_000);

interface Report {
  readonly finished: boolean;
  readonly loss: number | string | null;
  readonly nodes: readonly { name: string; operator: string; phase: string; of: string | null }[];
  readonly stops: readonly string[];
  readonly printed: readonly { name: string; shape: readonly number[]; mean: number }[];
  readonly fault: { kind: string; value: string; node: { name: string } | null } | null;
  readonly against?: { compared: number; first: unknown; notRun: readonly unknown[] };
}

/** A job whose model takes the logarithm of pixels, of which some are 0. */
const logarithm = (): Record<string, string | Buffer> => {
  const layers = sequential(
    flatten(),
    fn((x) => x.unary('Log')),
    linear(10),
  );
  return {
    ...mlpJob(),
    'model.onnx': Buffer.from(writeGraph(model({ input: tensor(1, 28, 28), layers }).graph)),
  };
};

t.test('a step without a terminal: breaks and prints in one document', async (t) => {
  const words = [
    'debug',
    'job.yaml',
    '--rows',
    '4',
    '--print',
    'grad.*',
    '--break',
    'loss/LogSoftmax',
    '--json',
  ];
  const { code, stdout, stderr } = await dtrain(words, { cwd: t.testdir(mlpJob()) });
  t.equal(code, 0, stderr);
  const report = JSON.parse(stdout) as Report;
  t.match(report, {
    step: 0,
    samples: 4,
    batch: 32,
    finished: true,
    stops: ['loss/LogSoftmax'],
    fault: null,
  });
  t.type(report.loss, 'number');
  t.ok(report.printed.length >= 4 && report.printed.every(({ name }) => name.startsWith('grad.')));
  const backward = report.nodes.filter(({ phase }) => phase === 'backward');
  t.ok(backward.some(({ name, of }) => of !== null && name.startsWith(`${of}/grad/`)));
});

t.test('the first infinity: its node is named, its inputs are shown, exit 1', async (t) => {
  const cwd = t.testdir(logarithm());
  const { code, stdout } = await command(['debug', 'job.yaml', '--rows', '2', '--break-on-nan'], { cwd });
  t.equal(code, 1);
  t.match(stdout, /first infinity: node "1\/Log" \(Log, forward\)/);
  t.match(stdout, /inputs\n {4}.*float32\[2,784\].*zeros \d+/);
  const json = await command(['debug', 'job.yaml', '--rows', '2', '--json'], { cwd });
  t.equal(json.code, 0, 'without --break-on-nan it is told, and the step goes on');
  const report = JSON.parse(json.stdout) as Report;
  t.match(report.fault, { kind: 'infinity', node: { name: '1/Log' } });
  t.equal(report.loss, 'NaN');
});

t.test('every node beside onnxruntime', async (t) => {
  const words = ['debug', 'job.yaml', '--rows', '4', '--against', 'onnxruntime', '--json'];
  const cwd = t.testdir(mlpJob());
  const { code, stdout, stderr } = await command(words, { cwd });
  t.equal(code, 0, stderr);
  const { against, nodes } = JSON.parse(stdout) as Report;
  t.match(against, { engine: 'onnxruntime', first: null, notRun: [] });
  t.ok(against!.compared >= nodes.length);
  const strict = await command([...words, '--tolerance', '1e-12'], { cwd });
  t.equal(strict.code, 1);
  t.match(JSON.parse(strict.stdout), {
    against: { first: { node: String, error: Number, ours: {}, theirs: {} } },
  });
});

t.test('input that cannot be used: exit 2, with what would be accepted', async (t) => {
  const cwd = t.testdir(mlpJob());
  for (const [words, code, message] of [
    [['--break', 'conv'], 'unknown_name', /no node .* such a name; the closest are/],
    [['--print', 'no/such'], 'unknown_name', /no value .* closest values/],
    [['--rows', '0'], 'usage', /--rows 0: write a whole number from 1/],
    [['--phase', 'sideways'], 'usage', /forward, backward, all/],
    [['--inspect=nowhere:99999'], 'usage', /HOST:PORT/],
    [['--against', 'abacus'], 'engine_unavailable', /abacus/],
    [['--set', 'data.train.features=gone.npy'], 'data_unreadable', /data\.train\.features: gone\.npy/],
  ] as const) {
    const ended = await command(['debug', 'job.yaml', '--json', ...words], { cwd });
    t.equal(ended.code, 2, words.join(' '));
    const { error } = JSON.parse(ended.stdout) as { error: { code: string; message: string } };
    t.equal(error.code, code);
    t.match(error.message, message);
  }
});

t.test('a debugger stands still at the node, with its values', async (t) => {
  const words = [
    'debug',
    'job.yaml',
    '--rows',
    '2',
    '--break',
    'loss/LogSoftmax',
    '--inspect=127.0.0.1:0',
    '--json',
  ];
  const child = new Dtrain(words, { cwd: t.testdir(mlpJob()) });
  const [url] = (await child.said(/ws:\/\/\S+/)) ?? [];
  t.ok(url, child.stderr);
  const client = await InspectorClient.connect(url!);
  await client.ask('Runtime.enable');
  await client.ask('Debugger.enable');
  await client.ask('Runtime.runIfWaitingForDebugger');
  const { callFrames } = (await client.event('Debugger.paused')) as {
    callFrames: readonly { callFrameId: string; functionName: string }[];
  };
  const { callFrameId, functionName } = callFrames[0]!;
  t.equal(functionName, 'stoppedAtNode');
  const evaluate = async (expression: string): Promise<unknown> => {
    const options = { callFrameId, expression, returnByValue: true };
    const { result } = await client.ask('Debugger.evaluateOnCallFrame', options);
    return (result as { value: unknown }).value;
  };
  t.equal(await evaluate('node.operator'), 'LogSoftmax');
  t.same(await evaluate('Object.values(outputs)[0].shape'), [2, 10]);
  t.ok(await evaluate('Object.values(inputs)[0].data instanceof Float64Array'));
  t.same(await evaluate("value('target').shape"), [2]);
  await client.ask('Debugger.resume');
  client.close();
  const { code, stdout } = await child.ended;
  t.equal(code, 0, child.stderr);
  t.match(JSON.parse(stdout), { finished: true, stops: ['loss/LogSoftmax'] });
});

t.test('nobody attaches: it says where it listened, and ends', async (t) => {
  const words = ['debug', 'job.yaml', '--inspect=127.0.0.1:0', '--inspect-deadline', '0.2', '--json'];
  const { code, stdout } = await dtrain(words, { cwd: t.testdir(mlpJob()) });
  t.equal(code, 1);
  const { error } = JSON.parse(stdout) as { error: { code: string; message: string } };
  t.equal(error.code, 'no_debugger');
  t.match(error.message, /no debugger attached to ws:\/\/127\.0\.0\.1:\d+/);
});
