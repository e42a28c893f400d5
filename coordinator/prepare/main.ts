import { parentPort } from 'node:worker_threads';
import { InvariantError, reportOf } from '../../base/index.js';
import { mergeSafetensors } from '../../graph/index.js';
import { makePlan } from '../../scheduler/index.js';
import { exportModel } from './export.js';
import { inspectJob } from './inspect.js';
import type { PrepareAnswer, PrepareRequest } from './messages.js';

/** The preparation thread: one task after the other, so that memory is that of one. */
if (!parentPort) throw new InvariantError('prepare/main.js runs in a worker thread');
const port = parentPort;
let last: Promise<void> = Promise.resolve();

port.on('message', (request: PrepareRequest) => {
  last = last.then(async () => port.postMessage(await answer(request)));
});

const now = (): number => performance.now() / 1000;

async function answer({ id, task }: PrepareRequest): Promise<PrepareAnswer> {
  try {
    switch (task.kind) {
      case 'inspect':
        return { id, kind: 'inspected', inspection: await inspectJob(task.job, task.paths) };
      case 'plan':
        return { id, kind: 'planned', plan: makePlan({ ...task.question, now }) };
      case 'merge':
        await mergeSafetensors(task.parts, task.to);
        return { id, kind: 'merged' };
      case 'export':
        await exportModel(task);
        return { id, kind: 'exported' };
    }
  } catch (error) {
    return { id, kind: 'failed', error: reportOf(error) };
  }
}
