/**
 * The process of one device. Its main thread talks: to the daemon over Node's channel, to the ring over ZeroMQ.
 * It never computes: that is the compute thread's, so that a long step never looks like a dead worker.
 */
import { InvariantError, reportOf } from '../../base/index.js';
import { checkTraining } from '../device/index.js';
import { ComputeThread, engineNamed } from '../engine/index.js';
import { Executor } from './executor.js';
import { BEAT_MS, type ExecutorOptions, type FromExecutor, type ToExecutor } from '../messages.js';

/** How long the device is measured before it joins. */
const PROBE_SECONDS = 0.7;

async function main(): Promise<void> {
  const options = JSON.parse(process.argv[2] ?? 'null') as ExecutorOptions | null;
  if (!options || !process.send)
    throw new InvariantError('an executor is started by its daemon, not by hand');
  const { device } = options;
  process.title = `dtrain executor ${device.id}`;
  // the daemon decides when this process ends; when the daemon is gone, nobody would ever end it
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => undefined);
  process.on('disconnect', () => process.exit(1));
  if (!process.connected) process.exit(1);

  const send = (message: FromExecutor) => {
    if (process.connected) process.send!(message, undefined, undefined, () => undefined); // see 'disconnect'
  };
  let thread: ComputeThread;
  try {
    thread = await startThread(device);
    await checkTraining(thread);
    send({ kind: 'probed', rates: await thread.measureRates(PROBE_SECONDS) });
  } catch (error) {
    send({ kind: 'unusable', error: reportOf(error) });
    return; // the daemon ends this process
  }
  const executor = new Executor(options, thread, send);
  process.on('message', (message) => {
    const received = message as ToExecutor;
    if (received.kind === 'shutdown') {
      void executor.close().finally(() => process.exit(0));
    } else {
      executor.receive(received);
    }
  });
  setInterval(() => executor.beat(), BEAT_MS);
}

function startThread({
  kind,
  index,
  engine,
  threads,
  speed,
  memoryBytes,
  ownMemory,
}: ExecutorOptions['device']) {
  return ComputeThread.start({
    engine: engineNamed(engine),
    device: `${kind}:${index}`,
    threads,
    speed,
    ...(ownMemory && { memoryBytes }),
  });
}

main().catch((error: unknown) => {
  process.stderr.write(`${reportOf(error).message}\n`);
  process.exit(1);
});
