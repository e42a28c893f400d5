// A thread that ends another one's wait for a debugger: that wait blocks its thread and knows no deadline.
import { Session } from 'node:inspector';
import { workerData } from 'node:worker_threads';

const { expired, deadlineMs } = workerData as { readonly expired: Int32Array; readonly deadlineMs: number };

setTimeout(() => {
  Atomics.store(expired, 0, 1);
  const session = new Session();
  session.connectToMainThread();
  session.post('Runtime.runIfWaitingForDebugger');
}, deadlineMs);
