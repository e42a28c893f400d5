import { EventEmitter } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { ComputeThread, type Engine } from '../../../worker/engine/index.js';
import { ThreadHost } from '../../../worker/engine/thread/host.js';
import type { Reply, Request } from '../../../worker/engine/thread/messages.js';

/** A compute thread that is none: a given engine in this thread, behind messages that are copied and transferred all the same. */
export function inProcessThread(engine: Engine): ComputeThread {
  const worker = new EventEmitter();
  const host = new ThreadHost(engine, 1, {
    post: (reply: Reply, transfer = []) => {
      const copy = structuredClone(reply, { transfer: [...transfer] });
      setImmediate(() => worker.emit('message', copy));
    },
    now: () => (performance.timeOrigin + performance.now()) / 1000,
    rest: () => Promise.resolve(),
  });
  Object.assign(worker, {
    postMessage: (request: Request, transfer: readonly ArrayBuffer[]) => {
      void host.handle(structuredClone(request, { transfer: [...transfer] })).then(() => {
        if (request.kind === 'close') setImmediate(() => worker.emit('exit', 0));
      });
    },
  });
  const keepsValues = engine.memory !== undefined;
  return new ComputeThread(worker as unknown as Worker, engine.name, engine.device, keepsValues);
}
