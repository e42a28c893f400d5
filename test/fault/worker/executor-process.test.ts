import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createLogger, systemClock, type Clock } from '../../../base/index.js';
import { ExecutorProcess } from '../../../worker/daemon/index.js';
import { parseDeviceSpec, resolveDevices } from '../../../worker/index.js';
import type { ExecutorError } from '../../../worker/errors.js';
import type { FromExecutor } from '../../../worker/messages.js';
import { isAlive } from '../../e2e/process.js';
import { FakeClock } from '../../unit/collectives/fake-clock.js';

t.setTimeout(60_000);
const scratch = mkdtempSync(join(tmpdir(), 'dtrain-test-'));
t.teardown(() => rmSync(scratch, { recursive: true, force: true }));

const [device] = resolveDevices('host', [parseDeviceSpec('cpu:0,threads=1,memory=1GiB')], {
  cores: 1,
  memoryBytes: 0,
});
const logger = createLogger('test', 'silent');
const never = new AbortController().signal;

async function start(clock: Clock, change: Partial<typeof device> = {}, signal: AbortSignal = never) {
  const options = { device: { ...device!, ...change }, listenHost: '127.0.0.1', scratch };
  const { executor, rates } = await ExecutorProcess.start(options, clock, logger, signal);
  const messages: FromExecutor[] = [];
  let lose: (error: ExecutorError) => void = () => undefined;
  const lost = new Promise<ExecutorError>((resolve) => (lose = resolve));
  let beat: () => void = () => undefined;
  executor.listen({
    message: (message) => {
      messages.push(message);
      beat();
    },
    lost: lose,
  });
  return {
    executor,
    rates,
    lost,
    messages,
    nextBeat: () => new Promise<void>((resolve) => (beat = resolve)),
  };
}

t.test('measures its device, beats, and ends in order', async (t) => {
  const { executor, rates, messages, nextBeat } = await start(systemClock);
  t.ok(rates.flops > 1e8);
  await nextBeat();
  t.match(messages, [{ kind: 'beat', run: null, phase: 'idle' }]);
  const { pid } = executor;
  await executor.close(5);
  t.notOk(isAlive(pid!));
});

t.test('one that stops beating is killed and told lost, once', async (t) => {
  const clock = new FakeClock();
  const { executor, lost, nextBeat } = await start(clock);
  await nextBeat();
  process.kill(executor.pid!, 'SIGSTOP');
  clock.advance(11); // idle: it is given ten seconds
  t.match(await lost, { family: 'peer', code: 'executor_stalled', ids: { device: 'host/cpu:0' } });
  t.match((await lost).message, /host\/cpu:0: .*no sign of life for 10.5 s while idle; it was killed/);
  await executor.exited;
  t.notOk(isAlive(executor.pid!));
});

t.test('a pause of the daemon itself is not held against the executor', async (t) => {
  const clock = new FakeClock();
  const { executor, nextBeat } = await start(clock);
  for (let hour = 0; hour < 5; hour++) {
    // the clock goes on, but nobody looks
    clock.advance(0.5);
    await nextBeat();
  }
  t.ok(isAlive(executor.pid!));
  await executor.close(5);
});

t.test('one that is killed is told lost', async (t) => {
  const { executor, lost } = await start(systemClock);
  process.kill(executor.pid!, 'SIGKILL');
  t.match(await lost, {
    code: 'executor_died',
    message: /was killed \(SIGKILL: by somebody, or by the system/,
  });
  await executor.close(1); // of one that is gone: at once
});

t.test('one that cannot start is an error, not a loop', async (t) => {
  await t.rejects(start(systemClock, { engine: 'nonsense' }), {
    code: 'executor_failed_to_start',
    message: /host\/cpu:0: the executor did not start: there is no engine "nonsense"/,
  });
});

t.test('one that is not wanted any more while it starts is gone when that is told', async (t) => {
  const began = performance.now();
  await t.rejects(start(systemClock, {}, AbortSignal.timeout(100)), { code: 'stopped' });
  t.ok(performance.now() - began < 2000);
});

t.test('one that never answers is given up', async (t) => {
  const clock = new FakeClock();
  const starting = start(clock);
  clock.advance(31);
  await t.rejects(starting, { code: 'executor_failed_to_start', message: /no sign of it for 30 s/ });
});
