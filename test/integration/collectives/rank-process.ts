// One rank in a process of its own: joins, then reduces over and over until it is told to stop or it fails.
import {
  Arena,
  CollectiveError,
  Communicator,
  DEFAULT_RING,
  edgeLimits,
  ringArenaBytes,
  ZeroMqTransport,
} from '../../../collectives/index.js';

const [rankText = '0', worldText = '1', local = 'auto', lengthText = '1000', deadline = '20'] =
  process.argv.slice(2);
const [rank, worldSize, length] = [Number(rankText), Number(worldText), Number(lengthText)];
const ring = { ...DEFAULT_RING, deadline: Number(deadline) };
const arena = new Arena(ringArenaBytes(ring) + Arena.sizeOf(4 * length));
const bucket = { id: 0, values: arena.float32(arena.allocate('bucket', 4 * length)) };
const transport = await ZeroMqTransport.listen(
  { job: 'integration', epoch: 1, rank, worldSize },
  { ...edgeLimits(ring), local: local as 'auto' },
);
const told = { stop: false };
const addresses = await new Promise<string[]>((resolve) => {
  process.on('message', (message: string[] | 'stop') => {
    if (message === 'stop') told.stop = true;
    else resolve(message);
  });
  process.send?.({ address: transport.address });
});

const communicator = await Communicator.join({ ...ring, transport, arena, addresses });
try {
  for (let round = 0; ; round++) {
    bucket.values.fill(rank + round);
    await communicator.allReduce(bucket);
    const sum = (worldSize * (worldSize - 1)) / 2 + worldSize * round;
    if (bucket.values.some((value) => value !== sum)) throw new RangeError(`round ${round}: not the sum`);
    if (round === 2) process.send?.({ running: true });
    // All have to stop in the same round: the flag is a collective too.
    const [stopping = 0] = await communicator.allReduceScalars(Float64Array.of(told.stop ? 1 : 0));
    if (stopping > 0) break;
  }
  await communicator.close();
  process.send?.({ done: true });
} catch (error) {
  if (error instanceof CollectiveError)
    process.send?.({ fault: error.fault, ids: error.ids, message: error.message });
  else process.send?.({ fault: 'unexpected', message: String(error) });
  communicator.abort('failed');
}
await transport.close();
process.disconnect();
