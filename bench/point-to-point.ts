// Messages between two processes on this host, over ZeroMQ and the lane in shared memory, beside a plain copy of
// the same bytes within one process in the same run.
// usage: node dist/bench/point-to-point.js [--quick] [--json]
// One way: half of there and back, each message received whole and checked before it is answered; the receivers
// have asked before. Stream: several messages under way in one direction, from the first call to the last
// acknowledgement. Every byte of the first and last round is compared.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpus, loadavg, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { formatBytes, InvariantError, randomId } from '../base/index.js';
import {
  DEFAULT_RING,
  edgeLimits,
  Inbox,
  Outbox,
  ZeroMqTransport,
  type MessageTag,
} from '../collectives/index.js';

const quick = process.argv.includes('--quick');
const json = process.argv.includes('--json');
const LOCALS = ['auto', 'tcp'] as const;
const SIZES = [4096, 1_000_000, 16_000_000];
/** Messages under way at once when a stream is measured. */
const DEPTH = 4;
const WARM_UP = 5;
const roundsFor = (bytes: number): number => (bytes > 5e6 ? 20 : bytes > 5e5 ? 100 : 500) / (quick ? 5 : 1);

interface Ends {
  readonly out: Outbox;
  readonly into: Inbox;
}

/** Opens both streams of a rank; rank 0 is the one that measures. */
async function open(
  job: string,
  rank: number,
  local: (typeof LOCALS)[number],
  swap: (address: string) => Promise<string>,
): Promise<Ends & { close(): Promise<void> }> {
  const member = { job, epoch: 1, rank, worldSize: 2 };
  const transport = await ZeroMqTransport.listen(member, { ...edgeLimits(DEFAULT_RING), local });
  const peer = 1 - rank;
  const address = await swap(transport.address);
  const [out, into] = await Promise.all([
    Outbox.open({ transport, to: peer, address }),
    Inbox.open({ transport, from: peer }),
  ]);
  const close = async (): Promise<void> => {
    await Promise.all([out.close(), into.close()]);
    await transport.close();
  };
  return { out, into, close };
}

function tagOf(channel: string, step: number, part = 0): MessageTag {
  return { channel, step, microBatch: 0, part };
}

/** The far rank: sends back what comes, then takes in streams. */
async function answer({ out, into }: Ends): Promise<void> {
  for (const bytes of SIZES) {
    const rounds = roundsFor(bytes) + WARM_UP;
    const buffers = Array.from({ length: DEPTH }, () => new Uint8Array(bytes));
    let next = into.receive(tagOf('ping', 0), buffers[0]!);
    for (let round = 0; round < rounds; round++) {
      await next;
      if (round + 1 < rounds) next = into.receive(tagOf('ping', round + 1), buffers[(round + 1) % DEPTH]!);
      await out.send(tagOf('pong', round), buffers[round % DEPTH]!);
    }
    for (let round = 0; round < rounds; round++)
      await Promise.all(buffers.map((buffer, part) => into.receive(tagOf('stream', round, part), buffer)));
  }
}

async function pingPong({ out, into }: Ends, bytes: number): Promise<number[]> {
  const sent = Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 8)) & 255);
  const back = new Uint8Array(bytes);
  const seconds: number[] = [];
  const rounds = roundsFor(bytes) + WARM_UP;
  for (let round = 0; round < rounds; round++) {
    const returned = into.receive(tagOf('pong', round), back);
    const start = performance.now();
    await Promise.all([out.send(tagOf('ping', round), sent), returned]);
    if (round >= WARM_UP) seconds.push((performance.now() - start) / 2000);
    if ((round === 0 || round === rounds - 1) && Buffer.compare(sent, back) !== 0) {
      throw new InvariantError(`round ${round}: what came back is not what was sent`);
    }
  }
  return seconds;
}

async function stream({ out }: Ends, bytes: number): Promise<number[]> {
  const buffers = Array.from({ length: DEPTH }, () => new Uint8Array(bytes));
  const seconds: number[] = [];
  for (let round = 0; round < roundsFor(bytes) + WARM_UP; round++) {
    const start = performance.now();
    await Promise.all(buffers.map((buffer, part) => out.send(tagOf('stream', round, part), buffer)));
    if (round >= WARM_UP) seconds.push((performance.now() - start) / 1000 / DEPTH);
  }
  return seconds;
}

/** Copies from one of several buffers to another, as messages do, so that not all is in the cache by accident. */
function copies(bytes: number): number[] {
  const buffers = Array.from({ length: DEPTH }, () => new Uint8Array(bytes).fill(1));
  const seconds: number[] = [];
  for (let round = 0; round < roundsFor(bytes) + WARM_UP; round++) {
    const start = performance.now();
    buffers[(round + 1) % DEPTH]!.set(buffers[round % DEPTH]!);
    if (round >= WARM_UP) seconds.push((performance.now() - start) / 1000);
  }
  return seconds;
}

function spread(values: readonly number[]): { median: number; low: number; high: number } {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))]!;
  return { median: at(0.5), low: at(0.1), high: at(0.9) };
}

async function measure(local: (typeof LOCALS)[number]): Promise<object[]> {
  const job = randomId('bench');
  const child = fork(fileURLToPath(import.meta.url), ['--far', job, local, ...(quick ? ['--quick'] : [])]);
  try {
    const heard = once(child, 'message');
    const ends = await open(job, 0, local, async (address) => {
      child.send(address);
      return String((await heard)[0]);
    });
    const rows: object[] = [];
    for (const bytes of SIZES) {
      const copy = spread(copies(bytes));
      const oneWay = spread(await pingPong(ends, bytes));
      const flow = spread(await stream(ends, bytes));
      rows.push({ local, bytes, oneWaySeconds: oneWay, streamSecondsPerMessage: flow, memcpySeconds: copy });
      const us = (value: number): string => (value * 1e6).toFixed(0).padStart(6);
      const rate = (value: number): string => (bytes / value / 1e9).toFixed(2);
      console.error(
        `${local.padEnd(4)}  ${formatBytes(bytes).padStart(8)}  one way ${us(oneWay.median)} us ` +
          `(${us(oneWay.low)} to ${us(oneWay.high)}) ${rate(oneWay.median)} GB/s  ` +
          `stream ${us(flow.median)} us ${rate(flow.median)} GB/s  memcpy ${us(copy.median)} us ` +
          `${rate(copy.median)} GB/s  ${(oneWay.median / copy.median).toFixed(1)} x memcpy`,
      );
    }
    const exited = once(child, 'exit');
    await ends.close();
    await exited;
    return rows;
  } finally {
    child.kill('SIGKILL');
  }
}

async function far(job: string, local: (typeof LOCALS)[number]): Promise<void> {
  const ends = await open(job, 1, local, async (address) => {
    const heard = once(process, 'message');
    process.send?.(address);
    return String((await heard)[0]);
  });
  await answer(ends);
  await ends.close();
  process.disconnect();
}

async function main(): Promise<void> {
  const environment = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    node: process.version,
    loadAverage: loadavg()[0]!,
  };
  console.error(
    `${environment.cpu}, ${environment.cores} cores, load ${environment.loadAverage.toFixed(1)}; node ${environment.node}; median (10 % to 90 %)`,
  );
  const rows: object[] = [];
  for (const local of LOCALS) rows.push(...(await measure(local)));
  if (json) console.log(JSON.stringify({ environment, rows }, undefined, 2));
}

const [, , mode, job, local] = process.argv;
if (mode === '--far' && job !== undefined) await far(job, local === 'tcp' ? 'tcp' : 'auto');
else await main();
