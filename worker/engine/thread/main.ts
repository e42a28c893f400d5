// The compute thread's entry: started by ComputeThread with its ThreadOptions as workerData.
import { parentPort, workerData } from 'node:worker_threads';
import { InvariantError, reportOf } from '../../../base/index.js';
import { createEngine } from '../create.js';
import { ThreadHost, type Surroundings } from './host.js';
import type { Reply, Request, ThreadOptions } from './messages.js';

const port = parentPort;
if (!port) throw new InvariantError('the compute thread is started by ComputeThread, not by itself');
const options = workerData as ThreadOptions;

/** Nobody ever wakes it. */
const asleep = new Int32Array(new SharedArrayBuffer(4));

const surroundings: Surroundings = {
  post: (reply: Reply, transfer = []) => port.postMessage(reply, transfer),
  now: () => (performance.timeOrigin + performance.now()) / 1000,
  // a timer would round up to milliseconds, which doubles the rest of a short computation; nothing else is due here
  rest: (seconds) => {
    Atomics.wait(asleep, 0, 0, seconds * 1000);
    return Promise.resolve();
  },
};

try {
  const engine = await createEngine(options.engine, options);
  const host = new ThreadHost(engine, options.speed ?? 1, surroundings);
  port.on('message', (request: Request) => {
    void host.handle(request).then(() => {
      if (request.kind === 'close') port.close();
    });
  });
  surroundings.post({ kind: 'ready', device: engine.device, keepsValues: engine.memory !== undefined });
} catch (error) {
  surroundings.post({ kind: 'unusable', report: reportOf(error) });
}
