import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { IllegalTransitionError } from '../../../coordinator/errors.js';
import {
  fold,
  isOver,
  recordOf,
  transition,
  type JobEvent,
  type TrainingJob,
} from '../../../coordinator/job/index.js';
import { later, submitted } from '../../unit/coordinator/samples.js';

const events = fc.array(fc.constantFrom<JobEvent>(...Object.values(later)), { maxLength: 30 });

/** Takes the events that are legal one after the other, as a ledger does. */
function take(all: readonly JobEvent[]): { job: TrainingJob; taken: JobEvent[] } {
  let job = transition(undefined, submitted());
  const taken: JobEvent[] = [submitted()];
  for (const event of all) {
    try {
      job = transition(job, event);
      taken.push(event);
    } catch (error) {
      if (!(error instanceof IllegalTransitionError)) throw error;
    }
  }
  return { job, taken };
}

t.test('a job is the fold of its log, however it came about', (t) => {
  fc.assert(
    fc.property(events, (all) => {
      const { job, taken } = take(all);
      assert.deepEqual(fold(taken), job);
      // the log is JSON on its way to Redis and back
      assert.deepEqual(fold(JSON.parse(JSON.stringify(taken)) as JobEvent[]), job);
    }),
  );
  t.end();
});

t.test('nothing happens to a job that is over, and an illegal event changes nothing', (t) => {
  fc.assert(
    fc.property(events, fc.constantFrom<JobEvent>(...Object.values(later)), (all, extra) => {
      const { job } = take(all);
      const before = JSON.stringify(job);
      if (isOver(job)) assert.throws(() => transition(job, extra), IllegalTransitionError);
      else {
        try {
          transition(job, extra);
        } catch (error) {
          assert.ok(error instanceof IllegalTransitionError);
        }
      }
      assert.equal(JSON.stringify(job), before);
    }),
  );
  t.end();
});

t.test('a job is planned again once at most, and is in the queue then', (t) => {
  fc.assert(
    fc.property(events, (all) => {
      const { job, taken } = take(all);
      const again = taken.flatMap(({ type }, i) => (type === 'replanned' ? [i] : []));
      assert.ok(again.length <= 1);
      assert.equal(again.length === 1, job.replanned !== undefined);
      for (const i of again) {
        const then = fold(taken.slice(0, i + 1));
        assert.equal(then.state, 'queued');
        assert.ok(!('plan' in then) && !('progress' in then));
      }
    }),
  );
  t.end();
});

t.test('a record agrees with its job', (t) => {
  fc.assert(
    fc.property(events, (all) => {
      const { job } = take(all);
      const record = recordOf(job);
      assert.equal(record.endedAt !== null, isOver(job));
      assert.equal(record.error !== null, job.state === 'failed');
      assert.equal(record.devices.length > 0, 'plan' in job);
      assert.equal(record.replanned !== null, 'replanned' in job);
    }),
  );
  t.end();
});
