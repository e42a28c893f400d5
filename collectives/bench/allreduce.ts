import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { fromReport, randomId, UserError, type Bytes, type Seconds } from '../../base/index.js';
import { TransportError } from '../errors.js';
import { WIRE_FORMATS, type WireFormat } from '../kernels/kernels.js';
import { busBandwidth } from '../ring/cost.js';
import type { FromRank, RankTask, ToRank } from './messages.js';

export interface AllReduceBenchmark {
  readonly ranks: number;
  /** The bucket's size in float32, whatever the wire. Rounded down to whole elements. */
  readonly bytes: Bytes;
  readonly wire?: WireFormat;
  readonly repeats?: number;
  readonly warmUp?: number;
  /** How the processes are connected; by default what measured faster. */
  readonly transport?: 'auto' | 'tcp' | 'ipc';
  readonly ring?: RankTask['ring'];
}

export interface AllReduceResult {
  readonly ranks: number;
  readonly bytes: Bytes;
  readonly wire: WireFormat;
  readonly transport: 'auto' | 'tcp' | 'ipc';
  readonly repeats: number;
  /** Of the slowest rank, run by run. */
  readonly seconds: readonly Seconds[];
  readonly medianSeconds: Seconds;
  readonly minSeconds: Seconds;
  readonly maxSeconds: Seconds;
  /** 2 (N - 1) / N x bytes / medianSeconds, in bytes per second, of the values in float32. */
  readonly busBandwidth: number;
  /** Every element of every rank's result of every run was compared with the sum. A result is only returned then. */
  readonly checked: true;
}

const MAX_RANKS = 64;

/**
 * Times ring all-reduces between `ranks` processes on this host, over ZeroMQ, each in a process of its own.
 * Ends every process it started, also when it fails.
 * @throws UserError for a size, wire or number of ranks that cannot be; CollectiveError, TransportError;
 *   InvariantError when a rank's result is not the sum
 */
export async function benchmarkAllReduce(options: AllReduceBenchmark): Promise<AllReduceResult> {
  const { ranks, bytes, wire = 'float32', repeats = 10, warmUp = 3, transport = 'auto', ring = {} } = options;
  checkOptions(ranks, bytes, wire);
  const task = {
    job: randomId('bench'),
    ranks,
    bytes: 4 * Math.floor(bytes / 4),
    wire,
    repeats,
    warmUp,
    local: transport,
    ring,
  };
  const processes = Array.from({ length: ranks }, () =>
    fork(fileURLToPath(new URL('./rank.js', import.meta.url)), [], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    }),
  );
  try {
    const ports = processes.map((child, rank) => new RankProcess(child, rank));
    ports.forEach((port, rank) => port.tell({ kind: 'task', task: { ...task, rank } }));
    const addresses = await Promise.all(ports.map((port) => port.address));
    for (const port of ports) port.tell({ kind: 'addresses', addresses });
    const results = await Promise.all(ports.map((port) => port.result));
    const runs = Array.from({ length: repeats }, (_, run) =>
      Math.max(...results.map((seconds) => seconds[run]!)),
    );
    const slowest = [...runs].sort((a, b) => a - b);
    const medianSeconds = (slowest[(repeats - 1) >> 1]! + slowest[repeats >> 1]!) / 2;
    return {
      ranks,
      bytes: task.bytes,
      wire,
      transport,
      repeats,
      seconds: runs,
      medianSeconds,
      minSeconds: slowest[0]!,
      maxSeconds: slowest.at(-1)!,
      busBandwidth: busBandwidth(ranks, task.bytes, medianSeconds),
      checked: true,
    };
  } finally {
    for (const child of processes) child.kill('SIGKILL');
  }
}

/** One rank's process, as the two answers that it owes. */
class RankProcess {
  readonly address: Promise<string>;
  readonly result: Promise<readonly number[]>;

  constructor(
    private readonly child: ChildProcess,
    rank: number,
  ) {
    let gotAddress: (address: string) => void = () => undefined;
    let gotResult: (seconds: readonly number[]) => void = () => undefined;
    const failure = new Promise<never>((_, reject) => {
      child.on('message', (message: FromRank) => {
        if (message.kind === 'address') gotAddress(message.address);
        else if (message.kind === 'error') reject(fromReport(message.report));
        else if (message.wrong < 0) gotResult(message.seconds);
        else
          reject(
            new TransportError(
              'transport_failed',
              `rank ${rank}: element ${message.wrong} is not the sum over all ranks`,
            ),
          );
      });
      child.on('error', (cause) =>
        reject(new TransportError('transport_failed', `rank ${rank} could not be started`, { cause })),
      );
      child.on('exit', (code, signal) =>
        reject(
          new TransportError(
            'peer_lost',
            `the process of rank ${rank} ended early (${signal ?? `code ${code ?? '?'}`})`,
          ),
        ),
      );
    });
    failure.catch(() => undefined); // reported through the two below
    this.address = Promise.race([new Promise<string>((resolve) => (gotAddress = resolve)), failure]);
    this.result = Promise.race([new Promise<readonly number[]>((resolve) => (gotResult = resolve)), failure]);
    this.result.catch(() => undefined); // `address` may be awaited alone for a while
  }

  tell(message: ToRank): void {
    this.child.send(message);
  }
}

function checkOptions(ranks: number, bytes: number, wire: string): void {
  if (!Number.isInteger(ranks) || ranks < 1 || ranks > MAX_RANKS) {
    throw new UserError(
      'bad_ranks',
      `${ranks} ranks: a benchmark takes 1 to ${MAX_RANKS} processes on this host`,
    );
  }
  if (!Number.isSafeInteger(bytes) || bytes < 4 || bytes > 2 ** 32 - 2 ** 26) {
    throw new UserError(
      'bad_size',
      `${bytes} bytes: a bucket has at least one float32 (4 bytes) and less than 4 GiB`,
    );
  }
  if (!WIRE_FORMATS.some((known) => known === wire)) {
    throw new UserError('bad_wire', `wire "${wire}" is unknown: use ${WIRE_FORMATS.join(', ')}`);
  }
}
