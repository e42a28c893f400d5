// The entry of one rank's process in an all-reduce benchmark (see allreduce.ts, which forks it).
import { reportOf } from '../../base/index.js';
import { Arena } from '../arena.js';
import { Communicator } from '../communicator/communicator.js';
import { edgeLimits, DEFAULT_RING, ringArenaBytes } from '../communicator/options.js';
import { ZeroMqTransport } from '../transport/zeromq.js';
import type { FromRank, RankTask, ToRank } from './messages.js';

function send(message: FromRank): void {
  process.send?.(message);
}

/** What rank `rank` holds at element `i` before the sum: small integers, so that every format's sum is exact. */
function valueAt(rank: number, i: number): number {
  return ((i * 7 + rank * 3) % 13) - 6;
}

function fill(values: Float32Array, rank: number): void {
  for (let i = 0; i < values.length; i++) values[i] = valueAt(rank, i);
}

/** The first element that is not the sum over all ranks; -1 when all are. */
function firstWrong(values: Float32Array, ranks: number): number {
  for (let i = 0; i < values.length; i++) {
    let sum = 0;
    for (let rank = 0; rank < ranks; rank++) sum += valueAt(rank, i);
    if (values[i] !== sum) return i;
  }
  return -1;
}

async function measure(task: RankTask, addresses: Promise<readonly string[]>): Promise<FromRank> {
  const ring = { ...DEFAULT_RING, ...task.ring, wire: task.wire };
  const length = Math.floor(task.bytes / 4);
  const arena = new Arena(ringArenaBytes(ring) + Arena.sizeOf(4 * length) + 64);
  const bucket = { id: 0, values: arena.float32(arena.allocate('bucket', 4 * length)) };
  const member = { job: task.job, epoch: 1, rank: task.rank, worldSize: task.ranks };
  const transport = await ZeroMqTransport.listen(member, { ...edgeLimits(ring), local: task.local });
  try {
    send({ kind: 'address', address: transport.address });
    const communicator = await Communicator.join({ ...ring, transport, arena, addresses: await addresses });
    const seconds: number[] = [];
    let wrong = -1;
    for (let run = -task.warmUp; run < task.repeats; run++) {
      fill(bucket.values, task.rank);
      await communicator.barrier();
      const start = performance.now();
      await communicator.allReduce(bucket);
      if (run >= 0) seconds.push((performance.now() - start) / 1000);
      wrong = Math.max(wrong, firstWrong(bucket.values, task.ranks));
    }
    await communicator.barrier();
    await communicator.close();
    return { kind: 'result', seconds, wrong };
  } finally {
    await transport.close();
  }
}

let task: RankTask | undefined;
let tellAddresses: (addresses: readonly string[]) => void = () => undefined;
const addresses = new Promise<readonly string[]>((resolve) => (tellAddresses = resolve));

process.on('message', (message: ToRank) => {
  if (message.kind === 'addresses') {
    tellAddresses(message.addresses);
    return;
  }
  if (task) return;
  task = message.task;
  measure(task, addresses).then(
    (result) => {
      send(result);
      process.disconnect();
    },
    (error: unknown) => {
      send({ kind: 'error', report: reportOf(error) });
      process.disconnect();
    },
  );
});
// The parent is gone: nobody wants the result.
process.on('disconnect', () => setTimeout(() => process.exit(), 2000).unref());
