// The compute thread's entry: started by ComputeThread with its ThreadOptions as workerData.
import { parentPort, workerData } from 'node:worker_threads';
import { setTimeout as sleep } from 'node:timers/promises';
import { InvariantError, reportOf } from '../../../base/index.js';
import { createEngine } from '../create.js';
import { ThreadHost, type Surroundings } from './host.js';
import type { Reply, Request, ThreadOptions } from './messages.js';

const port = parentPort;
if (!port) throw new InvariantError('the compute thread is started by ComputeThread, not by itself');
const options = workerData as ThreadOptions;

const surroundings: Surroundings = {
  post: (reply: Reply, transfer = []) => port.postMessage(reply, transfer),
  now: () => (performance.timeOrigin + performance.now()) / 1000,
  rest: (seconds) => sleep(seconds * 1000),
};

try {
  const engine = await createEngine(options.engine, options);
  const host = new ThreadHost(engine, options.speed ?? 1, surroundings);
  port.on('message', (request: Request) => {
    void host.handle(request).then(() => {
      if (request.kind === 'close') port.close();
    });
  });
  surroundings.post({ kind: 'ready', device: engine.device });
} catch (error) {
  surroundings.post({ kind: 'unusable', report: reportOf(error) });
}
