import inspector from 'node:inspector';
import { Worker } from 'node:worker_threads';
import { formatSeconds, type Seconds } from '../../base/index.js';
import type { NamedValue } from '../../graph/index.js';
import {
  describeValue,
  type Described,
  type NodeReport,
  type Observer,
  type Onward,
  type Stop,
} from '../../worker/debug/index.js';
import { DebuggerError, UsageError } from '../errors.js';

const HOST = '127.0.0.1';
/** Node's own. */
const PORT = 9229;

export interface InspectorAddress {
  readonly host: string;
  /** 0 chooses a free one. */
  readonly port: number;
}

/** What a debugger shows of a value: its statistics, and its elements as they are. */
interface Shown extends Described {
  readonly data: Float64Array;
}

/**
 * A run under the Node inspector: at each stop a `debugger` statement in `stoppedAtNode`, where a debugger that is
 * attached stands still. The inspector stays open to the end of the process, so that the debugger's windows do.
 */
export class InspectorObserver implements Observer {
  private constructor(private readonly onward: Onward) {}

  /**
   * Opens the inspector and blocks this thread until a debugger has attached and lets the program run.
   * @param onward whether a resumed run goes on to the next node or to the next break
   * @throws DebuggerError when none has after `deadline`, or the address cannot be listened on
   */
  static async open(
    address: InspectorAddress,
    deadline: Seconds,
    onward: 'step' | 'continue',
  ): Promise<InspectorObserver> {
    try {
      inspector.open(address.port, address.host);
    } catch (cause) {
      throw new DebuggerError(
        `the inspector cannot listen on ${address.host}:${address.port}: ${String(cause)}; name another with --inspect=HOST:PORT`,
        cause,
      );
    }
    const url = inspector.url();
    if (url === undefined) {
      throw new DebuggerError(
        `the inspector cannot listen on ${address.host}:${address.port}: is the port taken? Name another with --inspect=HOST:PORT`,
      );
    }
    await waitForDebugger(url, deadline);
    return new InspectorObserver(onward);
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- the debugger blocks the thread; there is nothing to await
  async stop({ step, node, known }: Stop): Promise<Onward> {
    stoppedAtNode(node, shown(step.inputs), shown(step.outputs), (name) => {
      const value = known.get(name);
      return value && shown([{ name, value }])[name];
    });
    return this.onward;
  }
}

/**
 * Where a debugger stands still. Look at `node`, `inputs` and `outputs` (by name, `data` holds the elements), or call
 * `value('NAME')` in the console for anything computed so far. Resume for the next stop.
 */
function stoppedAtNode(
  node: NodeReport,
  inputs: Readonly<Record<string, Shown>>,
  outputs: Readonly<Record<string, Shown>>,
  value: (name: string) => Shown | undefined,
): readonly unknown[] {
  debugger;
  return [node, inputs, outputs, value];
}

function shown(values: readonly NamedValue[]): Readonly<Record<string, Shown>> {
  return Object.fromEntries(
    values.map((each) => [each.name, { ...describeValue(each), data: each.value.data }]),
  );
}

/**
 * Node's own waiting has no deadline and blocks the thread: a second thread lets it go when the time is over.
 */
async function waitForDebugger(url: string, deadline: Seconds): Promise<void> {
  const expired = new Int32Array(new SharedArrayBuffer(4));
  const watch = new Worker(new URL('./attach-deadline.js', import.meta.url), {
    workerData: { expired, deadlineMs: deadline * 1000 },
  });
  await new Promise<void>((resolve, reject) => watch.once('online', resolve).once('error', reject));
  inspector.waitForDebugger();
  const late = Atomics.load(expired, 0) === 1;
  await watch.terminate();
  if (!late) return;
  inspector.close();
  throw new DebuggerError(
    `no debugger attached to ${url} within ${formatSeconds(deadline)}; open chrome://inspect or "node inspect HOST:PORT", ` +
      'or give it longer with --inspect-deadline SECONDS',
  );
}

/** `--inspect`, `--inspect=PORT`, `--inspect=HOST:PORT`, `--inspect=HOST`. @throws UsageError */
export function inspectorAddress(option: string | true): InspectorAddress {
  const text = option === true ? HOST : /^\d+$/.test(option) ? `${HOST}:${option}` : option;
  const [, host, port = String(PORT)] = /^(\[[0-9a-f:]+\]|[^:[\]]+)(?::(\d+))?$/i.exec(text) ?? [];
  if (host === undefined || Number(port) > 65535) {
    throw new UsageError(`--inspect=${text}: write PORT or HOST:PORT, such as ${HOST}:${PORT}`);
  }
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
}
