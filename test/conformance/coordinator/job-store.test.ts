import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createLogger, randomId, systemClock } from '../../../base/index.js';
import {
  fold,
  MemoryJobStore,
  RedisJobStore,
  transition,
  type JobEvent,
  type JobStore,
  type TrainingJob,
} from '../../../coordinator/job/index.js';
import { RedisLink, startPrivateRedis } from '../../../coordinator/redis/index.js';
import { later, submitted } from '../../unit/coordinator/samples.js';

/** What every store must do; the in-memory one says what it means. */
function conforms(name: string, open: () => JobStore): void {
  const { planned, launched, started, cancelled } = later;

  async function append(
    store: JobStore,
    job: TrainingJob,
    expected: number,
    ...events: JobEvent[]
  ): Promise<TrainingJob> {
    const after = events.reduce(transition, job);
    await store.append({ id: job.id, expected, events, after, write: randomId('write') });
    return after;
  }
  const create = async (store: JobStore, id: string, same = id) => {
    await store.create(submitted(id), { same });
    return fold([submitted(id)]);
  };

  t.test(name, async (t) => {
    t.test('a log grows, and is read back as it was written', async (t) => {
      const store = open();
      t.strictSame(await store.create(submitted('job_a'), { same: 'a' }), { id: 'job_a', created: true });
      const job = await append(store, fold([submitted('job_a')]), 1, planned, launched);
      await append(store, job, 3, started);
      t.strictSame(await store.load('job_a'), [submitted('job_a'), planned, launched, started]);
      t.match(await store.record('job_a'), { id: 'job_a', state: 'running' });
      t.equal(await store.load('job_none'), undefined);
      t.equal(await store.record('job_none'), undefined);
    });

    t.test('of two writers one wins', async (t) => {
      const store = open();
      const job = await create(store, 'job_b');
      const both = await Promise.allSettled([
        append(store, job, 1, planned, launched),
        append(store, job, 1, cancelled),
      ]);
      t.equal(both.filter((one) => one.status === 'fulfilled').length, 1);
      t.match(
        both.find((one) => one.status === 'rejected'),
        { reason: { code: 'version_conflict' } },
      );
      await t.rejects(append(store, job, 5, cancelled), { code: 'version_conflict' }, 'nor a gap');
      await t.rejects(
        append(store, fold([submitted('job_none')]), 1, cancelled),
        { code: 'version_conflict' },
        'nor a job that is none',
      );
    });

    t.test('a write whose answer was lost is done once', async (t) => {
      const store = open();
      const job = await create(store, 'job_c');
      const events = [planned, launched];
      const addition = {
        id: job.id,
        expected: 1,
        events,
        after: events.reduce(transition, job),
        write: 'write_1',
      };
      t.equal(await store.append(addition), 3);
      t.equal(await store.append(addition), 3);
      t.equal((await store.load('job_c'))!.length, 3);
    });

    t.test('an identical job is refused until the first is over', async (t) => {
      const store = open();
      const job = await create(store, 'job_d', 'same-d');
      await t.rejects(store.create(submitted('job_d2'), { same: 'same-d' }), {
        code: 'duplicate_submission',
        message: /job_d/,
      });
      await t.rejects(store.find({ same: 'same-d' }), { code: 'duplicate_submission' });
      t.equal(await store.load('job_d2'), undefined, 'nothing is left behind');
      await append(store, job, 1, cancelled);
      t.equal(await store.find({ same: 'same-d' }), undefined);
      t.match(await store.create(submitted('job_d3'), { same: 'same-d' }), { id: 'job_d3', created: true });
    });

    t.test('an Idempotency-Key names one job, even when that is over', async (t) => {
      const store = open();
      const keys = { same: 'same-e', idempotency: { key: 'key-e', body: 'body' } };
      t.equal(await store.find(keys), undefined);
      t.match(await store.create(submitted('job_e'), keys), { created: true });
      t.strictSame(await store.create(submitted('job_e2'), keys), { id: 'job_e', created: false });
      t.equal(await store.find(keys), 'job_e');
      await append(store, fold([submitted('job_e')]), 1, cancelled);
      t.equal(await store.find(keys), 'job_e');
      const other = { same: 'other', idempotency: { key: 'key-e', body: 'another' } };
      await t.rejects(store.create(submitted('job_e3'), other), { code: 'idempotency_conflict' });
      await t.rejects(store.find(other), { code: 'idempotency_conflict' });
    });

    t.test('of simultaneous submissions with one key one makes a job', async (t) => {
      const store = open();
      const keys = { same: 'same-f', idempotency: { key: 'key-f', body: 'body' } };
      const all = await Promise.all(
        ['job_f1', 'job_f2', 'job_f3'].map((id) => store.create(submitted(id), keys)),
      );
      t.equal(all.filter((one) => one.created).length, 1);
      t.equal(new Set(all.map((one) => one.id)).size, 1);
    });
  });
}

/** Needs a store of its own: it counts. */
function lists(name: string, open: () => JobStore): void {
  const { planned, launched, started, succeeded, cancelled } = later;
  t.test(`${name}: pages`, async (t) => {
    const store = open();
    for (let i = 0; i < 7; i++) await store.create(submitted(`job_${i}`), { same: `${i}` });
    const finish = async (id: string, ...events: JobEvent[]) => {
      const after = events.reduce(transition, fold([submitted(id)]));
      await store.append({ id, expected: 1, events, after, write: id });
    };
    await finish('job_1', cancelled);
    await finish('job_4', planned, launched, started, succeeded);
    const ids: string[] = [];
    let cursor: string | null = null;
    let pages = 0;
    do {
      const page = await store.list({ limit: 3, ...(cursor === null ? {} : { cursor }) });
      ids.push(...page.jobs.map((job) => job.id));
      ({ cursor } = page);
      pages++;
    } while (cursor !== null);
    t.strictSame(
      ids,
      [6, 5, 4, 3, 2, 1, 0].map((i) => `job_${i}`),
      'newest first, each once',
    );
    t.equal(pages, 3);
    const queued = await store.list({ state: 'queued', limit: 10 });
    t.strictSame(
      queued.jobs.map((job) => job.id),
      [6, 5, 3, 2, 0].map((i) => `job_${i}`),
    );
    const first = await store.list({ state: 'queued', limit: 2 });
    const second = await store.list({ state: 'queued', limit: 10, cursor: first.cursor! });
    t.strictSame(
      second.jobs.map((job) => job.id),
      [3, 2, 0].map((i) => `job_${i}`),
    );
    t.match(await store.list({ state: 'succeeded', limit: 10 }), {
      jobs: [{ id: 'job_4', step: 20 }],
      cursor: null,
    });
    t.strictSame(await store.list({ state: 'failed', limit: 10 }), { jobs: [], cursor: null });
    t.strictSame(await store.counts(), { queued: 5, succeeded: 1, cancelled: 1 });
    await t.rejects(store.list({ limit: 3, cursor: 'made up' }), { code: 'bad_cursor' });
  });
}

const folder = mkdtempSync(join(tmpdir(), 'dtrain-store-'));
const logger = createLogger('test', 'silent');
const redis = await startPrivateRedis({ dataDir: folder, logger });
const link = await RedisLink.open(redis.url, systemClock, logger);
const second = await RedisLink.open(`${redis.url}/1`, systemClock, logger);
t.teardown(async () => {
  link.close();
  second.close();
  await redis.close();
  rmSync(folder, { recursive: true, force: true });
});

conforms('in memory', () => new MemoryJobStore());
conforms('in Redis', () => new RedisJobStore(link));
lists('in memory', () => new MemoryJobStore());
lists('in Redis', () => new RedisJobStore(second));
