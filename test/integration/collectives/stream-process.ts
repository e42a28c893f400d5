// One rank of a row in a process of its own. Messages go from the first rank to the last and back, each rank passing
// on what it got, while the two ends also form a ring; until told to stop or something fails.
import {
  Arena,
  CollectiveError,
  Communicator,
  DEFAULT_RING,
  edgeLimits,
  failTogether,
  Inbox,
  Outbox,
  ringArenaBytes,
  ZeroMqTransport,
} from '../../../collectives/index.js';

const [rankText = '0', worldText = '2', local = 'auto', bytesText = '1000', deadlineText = '20'] =
  process.argv.slice(2);
const [rank, worldSize, bytes, deadline] = [rankText, worldText, bytesText, deadlineText].map(Number) as [
  number,
  number,
  number,
  number,
];
const transport = await ZeroMqTransport.listen(
  { job: 'integration', epoch: 1, rank, worldSize },
  { ...edgeLimits(DEFAULT_RING), local: local as 'auto' },
);
const told = { stop: false };
const addresses = await new Promise<string[]>((resolve) => {
  process.on('message', (message: string[] | 'stop') => {
    if (message === 'stop') told.stop = true;
    else resolve(message);
  });
  process.send?.({ address: transport.address });
});

const last = worldSize - 1;
const outTo = (to: number): Promise<Outbox> =>
  Outbox.open({ transport, to, address: addresses[to]!, deadline });
const inFrom = (from: number): Promise<Inbox> => Inbox.open({ transport, from, deadline });
const [toRight, fromRight, toLeft, fromLeft] = await Promise.all([
  rank < last ? outTo(rank + 1) : undefined,
  rank < last ? inFrom(rank + 1) : undefined,
  rank > 0 ? outTo(rank - 1) : undefined,
  rank > 0 ? inFrom(rank - 1) : undefined,
]);
const arena = new Arena(ringArenaBytes(DEFAULT_RING) + 64);
const group = { name: 'ends', ranks: [0, last] };
const ring =
  rank === 0 || rank === last
    ? await Communicator.join({ ...DEFAULT_RING, deadline, transport, arena, addresses, group })
    : undefined;
const parts = [toRight, fromRight, toLeft, fromLeft, ring].filter((part) => part !== undefined);
const failure = failTogether(parts);

const valueAt = (i: number, round: number): number => (i * 31 + round * 7) & 255;

async function play(): Promise<void> {
  const [there, back, flag] = [new Uint8Array(bytes), new Uint8Array(bytes), new Uint8Array(1)];
  for (let round = 0; ; round++) {
    const tag = { step: round, microBatch: 0, part: 0 };
    const returns = fromRight?.receive({ ...tag, channel: 'back' }, back);
    returns?.catch(() => undefined); // awaited below, unless something fails before
    if (rank === 0) for (let i = 0; i < bytes; i++) there[i] = valueAt(i, round);
    if (rank === 0) flag[0] = told.stop ? 1 : 0;
    await fromLeft?.receive({ ...tag, channel: 'there' }, there);
    await fromLeft?.receive({ ...tag, channel: 'flag' }, flag);
    await toRight?.send({ ...tag, channel: 'there' }, there);
    await toRight?.send({ ...tag, channel: 'flag' }, flag);
    await returns;
    await toLeft?.send({ ...tag, channel: 'back' }, rank === last ? there : back);
    const result = rank === 0 ? back : there;
    for (let i = 0; i < bytes; i++)
      if (result[i] !== valueAt(i, round)) throw new RangeError(`round ${round}: byte ${i} differs`);
    await ring?.barrier();
    if (round === 2) process.send?.({ running: true });
    if (flag[0] === 1) return;
  }
}

try {
  await play();
  await Promise.all(parts.map((part) => part.close()));
  process.send?.({ done: true });
} catch (error) {
  if (error instanceof CollectiveError) {
    const first = await failure;
    process.send?.({ fault: first.fault, ids: first.ids, message: first.message });
  } else process.send?.({ fault: 'unexpected', message: String(error) });
}
await transport.close();
process.disconnect();
