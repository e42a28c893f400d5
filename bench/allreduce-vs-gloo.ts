// Ring all-reduce between processes on this host, beside Gloo's (torch.distributed) in the same run.
// usage: node dist/bench/allreduce-vs-gloo.js [--quick] [--json] [--ranks 2] [--bytes 100000000]
// Both sides: one process a rank, one thread of computation each, the same values; each run starts with a
// barrier and counts the slowest rank; every element of every run is compared with the sum. The two take
// turns, round by round, so that a noisy machine is noisy for both.
import { execFile, execFileSync } from 'node:child_process';
import { cpus, loadavg, totalmem } from 'node:os';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { formatBytes, InvariantError, median } from '../base/index.js';
import { benchmarkAllReduce, busBandwidth, type WireFormat } from '../collectives/index.js';
import { repositoryRoot } from '../test/root.js';

/** Debian's python3-torch belongs to the system's Python, whatever else is on the PATH. */
const PYTHON = '/usr/bin/python3';
const WIRES: readonly WireFormat[] = ['float32', 'float16', 'bfloat16'];
const quick = process.argv.includes('--quick');
const json = process.argv.includes('--json');
const ROUNDS = quick ? 2 : 5;
const RANKS = chosen('--ranks', [2, 4]);
const BYTES = chosen('--bytes', [4096, 1_000_000, 16_000_000, 100_000_000]);

/** The number behind an option, else all. */
function chosen(option: string, all: readonly number[]): readonly number[] {
  const at = process.argv.indexOf(option);
  return at < 0 ? all : [Number(process.argv[at + 1])];
}

interface Sample {
  readonly seconds: number[];
}

/** The version of torch, where it comes with distributed collectives. */
function torchVersion(): string | undefined {
  const code = 'import torch, torch.distributed as d; print(torch.__version__ if d.is_available() else "")';
  try {
    return execFileSync(PYTHON, ['-c', code], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return undefined;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** torch 1.13's rendezvous fails now and then ("Stop_waiting response is expected"); that says nothing of Gloo. */
async function gloo(ranks: number, bytes: number, repeats: number): Promise<number[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await glooOnce(ranks, bytes, repeats);
    } catch (error) {
      if (attempt === 3 || error instanceof InvariantError) throw error;
    }
  }
}

async function glooOnce(ranks: number, bytes: number, repeats: number): Promise<number[]> {
  const port = await freePort();
  const script = join(repositoryRoot, 'bench', 'gloo-allreduce.py');
  const outputs = await Promise.all(
    Array.from({ length: ranks }, (_, rank) =>
      promisify(execFile)(PYTHON, [script, rank, ranks, port, bytes, repeats].map(String), {
        env: { ...process.env, GLOO_SOCKET_IFNAME: 'lo', OMP_NUM_THREADS: '1' },
        timeout: 120_000,
        killSignal: 'SIGKILL',
      }),
    ),
  );
  const results = outputs.map(({ stdout }) => JSON.parse(stdout) as { seconds: number[]; checked: boolean });
  if (results.some((result) => !result.checked)) throw new InvariantError('Gloo’s result is not the sum');
  return Array.from({ length: repeats }, (_, run) =>
    Math.max(...results.map((result) => result.seconds[run]!)),
  );
}

async function ours(ranks: number, bytes: number, wire: WireFormat, repeats: number): Promise<number[]> {
  return [...(await benchmarkAllReduce({ ranks, bytes, wire, repeats })).seconds];
}

interface Row {
  readonly ranks: number;
  readonly bytes: number;
  readonly library: string;
  readonly medianSeconds: number;
  readonly minSeconds: number;
  readonly maxSeconds: number;
  readonly busBandwidth: number;
  /** Bus bandwidth by that of Gloo, from the medians of all rounds. */
  readonly ratio: number;
  readonly checked: true;
}

function rowOf(ranks: number, bytes: number, library: string, sample: Sample, reference: Sample): Row {
  const medianSeconds = median(sample.seconds);
  return {
    ranks,
    bytes,
    library,
    medianSeconds,
    minSeconds: Math.min(...sample.seconds),
    maxSeconds: Math.max(...sample.seconds),
    busBandwidth: busBandwidth(ranks, bytes, medianSeconds),
    ratio: median(reference.seconds) / medianSeconds,
    checked: true,
  };
}

function print(row: Row): void {
  const ms = (seconds: number): string => (seconds * 1000).toFixed(seconds < 0.01 ? 2 : 1).padStart(7);
  console.error(
    `${row.ranks} ranks  ${formatBytes(row.bytes).padStart(8)}  ${row.library.padEnd(16)}` +
      `median ${ms(row.medianSeconds)} ms  (${ms(row.minSeconds)} to ${ms(row.maxSeconds)})  ` +
      `bus ${(row.busBandwidth / 1e9).toFixed(3)} GB/s  ${row.ratio.toFixed(2)} of Gloo  checked`,
  );
}

async function main(): Promise<void> {
  const torch = torchVersion();
  if (torch === undefined || torch === '') {
    console.error(`skipped: ${PYTHON} has no torch with Gloo (on Debian: apt-get install python3-torch)`);
    return;
  }
  const environment = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    node: process.version,
    torch,
    loadAverage: loadavg()[0]!,
  };
  console.error(
    `${environment.cpu}, ${environment.cores} cores, load ${environment.loadAverage.toFixed(1)}; node ${environment.node}, torch ${torch}`,
  );
  const rows: Row[] = [];
  for (const ranks of RANKS) {
    for (const bytes of BYTES) {
      const repeats = bytes > 5e7 ? 6 : bytes > 5e6 ? 12 : 40;
      const reference: Sample = { seconds: [] };
      const samples = new Map(WIRES.map((wire) => [wire, { seconds: [] as number[] }]));
      for (let round = 0; round < ROUNDS; round++) {
        reference.seconds.push(...(await gloo(ranks, bytes, repeats)));
        for (const [wire, sample] of samples)
          sample.seconds.push(...(await ours(ranks, bytes, wire, repeats)));
      }
      const added = [
        rowOf(ranks, bytes, 'gloo float32', reference, reference),
        ...[...samples].map(([wire, sample]) => rowOf(ranks, bytes, `dtrain ${wire}`, sample, reference)),
      ];
      added.forEach(print);
      rows.push(...added);
    }
  }
  if (json) console.log(JSON.stringify({ environment, rows }, undefined, 2));
}

await main();
