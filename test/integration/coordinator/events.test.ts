import t from 'tap';
import type { JobRecord, MetricRow } from '../../../protocol/index.js';
import { jobOf, setUp, weightBytes } from './fixture.js';
import { ScriptedWorker } from './scripted-worker.js';

const { coordinator, rest, ...setup } = await setUp();
t.teardown(() => setup.close());

interface StreamEvent {
  id: string;
  event: string;
  data: string;
}

async function all(id: string, from?: string): Promise<StreamEvent[]> {
  const events: StreamEvent[] = [];
  for await (const event of rest.events(id, from)) events.push(event);
  return events;
}

t.test('a job is followed while it runs, and can be followed again from any point', async (t) => {
  let go: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (go = resolve));
  const worker = await ScriptedWorker.join(coordinator.grpcAddress, {
    weights: weightBytes,
    script: {
      peers: async (self, launch) => {
        for (let step = 1; step <= 4; step++) self.step(launch, step);
        await gate;
        for (let step = 5; step <= 8; step++) self.step(launch, step);
        await self.finish(launch, 8);
      },
    },
  });
  t.teardown(() => worker.close());
  const { body } = await rest.submit(jobOf());
  const live: StreamEvent[] = [];
  for await (const event of rest.events(body.id)) {
    live.push(event);
    if (event.event === 'metric' && (JSON.parse(event.data) as MetricRow).step === 4) go();
  }
  const steps = (events: StreamEvent[]) =>
    events.filter((one) => one.event === 'metric').map((one) => (JSON.parse(one.data) as MetricRow).step);
  const states = (events: StreamEvent[]) =>
    events.filter((one) => one.event === 'job').map((one) => (JSON.parse(one.data) as JobRecord).state);
  t.strictSame(steps(live), [1, 2, 3, 4, 5, 6, 7, 8]);
  t.equal(states(live).at(-1), 'succeeded');
  t.equal(live.at(-1)!.event, 'job', 'the end comes last');
  t.equal(new Set(live.map((one) => one.id)).size, live.length, 'each event has an id of its own');

  for (const [i, { id }] of live.entries()) {
    const rest = await all(body.id, id);
    t.strictSame(steps(rest), steps(live.slice(i + 1)), `the rows after ${id}`);
    const last = i === live.length - 1;
    t.strictSame(states(rest), last ? [] : ['succeeded'], 'and the job as it is now');
  }
  t.strictSame(steps(await all(body.id)), [1, 2, 3, 4, 5, 6, 7, 8]);
  for (const nonsense of ['abc', '-1-0-0', '99999999999999999999-0-0'])
    t.strictSame(steps(await all(body.id, nonsense)), [1, 2, 3, 4, 5, 6, 7, 8], nonsense);
});

t.test('a reader that does not read holds nothing up', async (t) => {
  const worker = await ScriptedWorker.join(coordinator.grpcAddress, { name: 'fast', weights: weightBytes });
  t.teardown(() => worker.close());
  const { body } = await rest.submit(jobOf({ name: 'many rows', steps: 3000 }));
  const abort = new AbortController();
  await fetch(`${rest.url}/v1/jobs/${body.id}/events`, { signal: abort.signal }); // and never read
  const end = await rest.over(body.id);
  t.equal(end.state, 'succeeded');
  abort.abort();
  t.equal((await all(body.id)).filter((one) => one.event === 'metric').length, 3000);
});

t.test('closing the coordinator ends the streams', async (t) => {
  const own = await setUp();
  const { body } = await own.rest.submit(jobOf());
  const events = own.rest.events(body.id);
  await events.next();
  await own.close();
  const rest: unknown[] = [];
  for await (const event of events) rest.push(event);
  t.pass('the stream came to its end');
});
