import t from 'tap';
import { IllegalTransitionError } from '../../../coordinator/errors.js';
import { fold, isOver, recordOf, transition, type TrainingJob } from '../../../coordinator/job/index.js';
import { later, progress, submitted } from './samples.js';

const { planned, launched, started, progressed, checkpointed, replanned, succeeded, failed, cancelled } =
  later;
const first = submitted();

/** How to come to each state. */
const ways: Record<string, TrainingJob> = {
  queued: fold([first]),
  planning: fold([first, planned]),
  starting: fold([first, planned, launched]),
  running: fold([first, planned, launched, started]),
  'queued again': fold([first, planned, launched, started, replanned]),
  'starting again': fold([first, planned, launched, replanned, planned, launched]),
  'running again': fold([first, planned, launched, started, replanned, planned, launched, started]),
  succeeded: fold([first, planned, launched, started, succeeded]),
  failed: fold([first, failed]),
  cancelled: fold([first, cancelled]),
};

/** The whole table: state, event, next state. Every pair that is not here is illegal. */
const table: Record<string, Record<string, string>> = {
  queued: { planned: 'planning', failed: 'failed', cancelled: 'cancelled' },
  planning: { launched: 'starting', failed: 'failed', cancelled: 'cancelled' },
  starting: { started: 'running', replanned: 'queued', failed: 'failed', cancelled: 'cancelled' },
  'queued again': { planned: 'planning', failed: 'failed', cancelled: 'cancelled' },
  'starting again': { started: 'running', failed: 'failed', cancelled: 'cancelled' },
  'running again': {
    progressed: 'running',
    checkpointed: 'running',
    succeeded: 'succeeded',
    failed: 'failed',
    cancelled: 'cancelled',
  },
  running: {
    progressed: 'running',
    checkpointed: 'running',
    replanned: 'queued',
    succeeded: 'succeeded',
    failed: 'failed',
    cancelled: 'cancelled',
  },
  succeeded: {},
  failed: {},
  cancelled: {},
};

t.test('every pair of state and event', (t) => {
  for (const [state, job] of Object.entries(ways)) {
    t.equal(job.state, state.replace(' again', ''));
    for (const [type, event] of Object.entries({ ...later, submitted: first })) {
      const next = table[state]![type];
      if (next === undefined)
        t.throws(() => transition(job, event), IllegalTransitionError, `${state} by ${type}`);
      else t.equal(transition(job, event).state, next, `${state} by ${type}`);
    }
  }
  t.end();
});

t.test('a job that is planned again keeps nothing of its launch but why that ended', (t) => {
  const queued = ways['queued']!;
  const why = {
    at: 1450,
    epoch: 1,
    device: 'host/cpu:0',
    budgetBytes: 10,
    measuredBytes: 12,
    predictedBytes: 5,
    runtimeBytes: 2,
    message: 'host/cpu:0: its executor took 12 bytes',
  };
  t.strictSame(ways['queued again'], { ...queued, replanned: why });
  t.match(ways['running again'], { replanned: why, epoch: 1, plan: {} }, 'and later launches remember it');
  t.strictSame(fold([first, planned, launched, replanned]), ways['queued again'], 'before it trained, too');
  const { at: _, epoch: __, runtimeBytes: ___, ...shown } = why;
  t.match(recordOf(ways['queued again']!), {
    state: 'queued',
    step: 0,
    devices: [],
    startedAt: null,
    performance: null,
    replanned: { ...shown, at: '1970-01-01T00:00:01.450Z' },
  });
  t.equal(recordOf(queued).replanned, null);
  t.end();
});

t.test('a log begins with a submission', (t) => {
  t.throws(() => fold([]), IllegalTransitionError);
  t.throws(() => fold([planned]), IllegalTransitionError);
  t.throws(() => fold([first, first]), IllegalTransitionError);
  t.end();
});

t.test('the job as REST shows it', (t) => {
  t.match(recordOf(ways['queued']!), {
    state: 'queued',
    step: 0,
    totalSteps: 20,
    loss: null,
    devices: [],
    createdAt: '1970-01-01T00:00:01.000Z',
    startedAt: null,
    endedAt: null,
    error: null,
  });
  const running = fold([first, planned, launched, started, progressed, checkpointed]);
  t.match(recordOf(running), {
    state: 'running',
    step: 3,
    loss: 0.5,
    samplesPerSecond: 80,
    etaSeconds: ((20 - 3) * 8) / 80,
    devices: ['host/cpu:0'],
    explanation: ['host/cpu:0 takes all'],
    startedAt: '1970-01-01T00:00:01.200Z',
  });
  t.match(recordOf(transition(running, succeeded)), {
    state: 'succeeded',
    step: 20,
    etaSeconds: 0,
    endedAt: '1970-01-01T00:00:01.500Z',
  });
  t.match(recordOf(transition(running, failed)), {
    state: 'failed',
    step: 3,
    etaSeconds: null,
    error: { code: 'executor_died', device: 'host/cpu:0' },
  });
  t.match(
    recordOf(transition(running, { type: 'cancelled', at: 1500, progress: { ...progress, step: 9 } })),
    { step: 9 },
  );
  t.end();
});

t.test('what is over', (t) => {
  t.strictSame(
    Object.values(ways)
      .filter(isOver)
      .map((job) => job.state),
    ['succeeded', 'failed', 'cancelled'],
  );
  t.end();
});
