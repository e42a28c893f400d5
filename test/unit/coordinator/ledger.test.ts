import t from 'tap';
import { createLogger } from '../../../base/index.js';
import { IllegalTransitionError, RedisUnavailableError } from '../../../coordinator/errors.js';
import {
  fold,
  JobLedger,
  MemoryJobStore,
  transition,
  type Append,
  type Availability,
} from '../../../coordinator/job/index.js';
import { later, progress, submitted } from './samples.js';

const { planned, launched, started, failed, cancelled } = later;

/** A store that can be away. */
class FlakyStore extends MemoryJobStore implements Availability {
  isUp = true;
  writes = 0;
  private readonly listeners = new Set<(up: boolean) => void>();

  onChange(listener: (up: boolean) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  set(up: boolean): void {
    this.isUp = up;
    for (const listener of [...this.listeners]) listener(up);
  }

  override append(addition: Append): Promise<number> {
    if (!this.isUp) return Promise.reject(new RedisUnavailableError('nowhere', undefined, 'wait'));
    this.writes++;
    return super.append(addition);
  }
}

async function setUp() {
  const store = new FlakyStore();
  await store.create(submitted(), { same: 's' });
  const told: string[] = [];
  const ledger = new JobLedger(fold([submitted()]), 1, store, store, createLogger('test', 'silent'), {
    changed: ({ job }) => told.push(job.state),
    lost: (_, error) => told.push(error.code),
  });
  return { store, ledger, told };
}

t.test('events count at once and are written in order', async (t) => {
  const { store, ledger, told } = await setUp();
  ledger.record(planned, launched);
  ledger.record(started);
  t.equal(ledger.job.state, 'running');
  t.equal(ledger.length, 4);
  t.throws(() => ledger.record(launched), IllegalTransitionError);
  await ledger.settled();
  t.strictSame(await store.load('job_1'), [submitted(), planned, launched, started]);
  t.strictSame(told, ['starting', 'running']);
});

t.test('what happens while the store is away is written when it is back', async (t) => {
  const { store, ledger } = await setUp();
  store.set(false);
  ledger.record(planned, launched);
  ledger.record(started);
  ledger.record(failed);
  t.equal(ledger.job.state, 'failed');
  await new Promise(setImmediate);
  t.equal((await store.load('job_1'))!.length, 1);
  store.set(true);
  await ledger.settled();
  t.strictSame(
    (await store.load('job_1'))!.map((event) => event.type),
    ['submitted', 'planned', 'launched', 'started', 'failed'],
  );
});

t.test('a job that another coordinator wrote to is let go of', async (t) => {
  const { store, ledger, told } = await setUp();
  const job = fold([submitted()]);
  await store.append({
    id: job.id,
    expected: 1,
    events: [cancelled],
    after: transition(job, cancelled),
    write: 'other',
  });
  ledger.record(planned, launched);
  await ledger.settled();
  t.strictSame(told, ['starting', 'version_conflict']);
  t.strictSame(
    (await store.load('job_1'))!.map((event) => event.type),
    ['submitted', 'cancelled'],
  );
});

t.test('progress is shown at once and recorded from time to time', async (t) => {
  const { store, ledger } = await setUp();
  ledger.record(planned, launched, started);
  for (let step = 1; step <= 120; step++) ledger.observe({ ...progress, step }, 1000 + 100 * step);
  t.match(ledger.job, { progress: { step: 120 } });
  await ledger.settled();
  const recorded = (await store.load('job_1'))!.filter((event) => event.type === 'progressed');
  t.strictSame(
    recorded.map((event) => event.progress.step),
    [1, 51, 101],
  );
});

t.test('an end of the process does not wait for a store that is away', async (t) => {
  const { store, ledger } = await setUp();
  store.set(false);
  ledger.record(cancelled);
  await new Promise(setImmediate);
  ledger.abandon();
  await ledger.settled();
  t.equal((await store.load('job_1'))!.length, 1);
});
