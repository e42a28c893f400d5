import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import t from 'tap';
import { UsageError } from '../../../cli/errors.js';
import { timelineDrawer } from '../../../cli/submit/timeline.js';
import { Terminal } from '../../../cli/terminal/terminal.js';
import { fromChromeTrace, type Plan } from '../../../scheduler/index.js';

const message = { latency: 0.001, wire: 0.002 };
const seconds = { forward: 0.01, backwardInput: 0.01, backwardWeight: 0.01, after: 0.005 };
const replica = (device: string) => ({
  device,
  samplesPerStep: 8,
  predictedPeakBytes: 1,
  budgetBytes: 2,
  predictedBusySeconds: 0.12,
  account: [],
});
const stage = (index: number) => ({
  index,
  nodes: [],
  parameters: [],
  replicas: [replica(`h/cpu:${index}`)],
});
const plan: Plan = {
  predictedStepSeconds: 0.2,
  bottleneck: { device: 'h/cpu:0', why: 'so' },
  schedule: { kind: '1f1b', microBatches: 4, stagesPerRank: 1 },
  stages: [
    { ...stage(0), seconds: { ...seconds, activation: message } },
    { ...stage(1), seconds: { ...seconds, gradient: message } },
  ],
  rejected: [],
  explanation: [],
};

function session(json: boolean, cwd: string) {
  const written = { stdout: '', stderr: '' };
  const into = (name: 'stdout' | 'stderr') =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        written[name] += chunk.toString();
        done();
      },
    });
  const streams = { stdout: into('stdout'), stderr: into('stderr'), env: {} };
  return { written, session: { terminal: new Terminal(streams, json), cwd } };
}

t.test('a timeline as text, without colour where there is no terminal', async (t) => {
  for (const target of [true, '-']) {
    const { written, session: where } = session(false, '.');
    await timelineDrawer(where, target)(plan);
    t.match(written.stdout, /^1f1b, 4 micro-batches: 1\d\d ms, bubble \d\d\.\d %\nh\/cpu:0 \|F0/);
    t.notMatch(written.stdout, '\u001b');
  }
  const { written, session: where } = session(true, '.');
  await timelineDrawer(where, true)(plan);
  t.equal(written.stdout, '', 'with --json the document is alone there');
  t.match(written.stderr, 'bubble');
  const none = session(false, '.');
  await timelineDrawer(none.session, undefined)(plan);
  t.same(none.written, { stdout: '', stderr: '' });
});

t.test('a timeline in a file', async (t) => {
  const folder = t.testdir();
  const { written, session: where } = session(false, folder);
  await timelineDrawer(where, 'step.svg')(plan);
  t.match(readFileSync(join(folder, 'step.svg'), 'utf8'), /^<svg [^>]*>[\s\S]*h\/cpu:1[\s\S]*<\/svg>\n$/);
  await timelineDrawer(where, 'step.json')(plan);
  const { events, names } = fromChromeTrace(JSON.parse(readFileSync(join(folder, 'step.json'), 'utf8')));
  t.equal(events.filter(({ kind }) => kind === 'backward').length, 8);
  t.match(names.ranks, [{ device: 'h/cpu:0' }, { device: 'h/cpu:1' }]);
  t.match(written, { stdout: '', stderr: /the timeline is in step\.svg/ });
});

t.test('another extension is refused before anything is planned', async (t) => {
  const { session: where } = session(false, t.testdir());
  t.throws(() => timelineDrawer(where, 'step.png'), UsageError);
  t.throws(() => timelineDrawer(where, 'job.yaml'), { message: /\.svg or \.json, or -/ });
  await t.rejects(timelineDrawer(where, 'none/step.svg')(plan), { code: 'usage', message: /ENOENT/ });
  t.notOk(existsSync(join(where.cwd, 'none')));
});
