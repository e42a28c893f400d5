import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { Logger, UserError } from '../../base/index.js';
import { RedisStartError } from '../errors.js';

const READY_MS = 10_000;
const POLL_MS = 25;
const CLOSE_MS = 5000;
const ATTEMPTS = 3;

export interface PrivateRedis {
  /** With its password: give it to the coordinator, never to a log. */
  readonly url: string;
  readonly pid: number;
  /** Ends it once its data is on disk. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts a Redis of our own: on 127.0.0.1 and a free port, with a password that nobody else learns (it goes in through
 * stdin), append-only in `dataDir`, evicting nothing.
 *
 * It runs in a process group of its own, so that Ctrl-C in a terminal does not end it before we are done with it. It
 * ends with `close()`. Should this process die without that, even by SIGKILL, a watchdog ends it: a shell that reads
 * from a pipe of ours, which the kernel closes when we are gone.
 * @throws RedisStartError when `redis-server` is missing (with how to install it), when another one uses `dataDir`, or
 *   when it does not start; nothing is left running then
 */
export async function startPrivateRedis({
  dataDir,
  logger,
}: {
  dataDir: string;
  logger: Logger;
}): Promise<PrivateRedis> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await refuseSecond(dataDir);
  const password = randomBytes(24).toString('hex');
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      return await startOn(port, password, dataDir, logger);
    } catch (error) {
      // somebody took the port between our look and its start
      if (attempt === ATTEMPTS || error instanceof MissingProgramError) throw error;
    }
  }
}

class MissingProgramError extends RedisStartError {}

async function startOn(
  port: number,
  password: string,
  dataDir: string,
  logger: Logger,
): Promise<PrivateRedis> {
  const child = spawn('redis-server', ['-'], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: dataDir,
  });
  const ended = once(child, 'exit').catch(() => undefined);
  const failed = new Promise<never>((_, reject) => {
    child.once('error', (cause) => reject(missing(cause)));
    child.once('exit', (code, signal) => {
      reject(
        new RedisStartError(
          `redis-server ended with ${signal ?? `code ${code}`}; it says why in ${join(dataDir, 'redis.log')}`,
        ),
      );
    });
  });
  failed.catch(() => undefined); // only the start waits for it
  child.stdin.on('error', () => undefined); // `error` or `exit` says why
  child.stdin.end(configuration(port, password, dataDir));
  const url = `redis://:${password}@127.0.0.1:${port}`;
  try {
    await Promise.race([answers(url), failed]);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  const watchdog = startWatchdog(child.pid!);
  child.once('exit', () => watchdog.kill('SIGKILL'));
  child.once('exit', (code) => logger.info({ code }, 'the private Redis ended'));
  child.unref();
  logger.info({ port, pid: child.pid, dataDir }, 'started a private Redis');
  let closing: Promise<void> | undefined;
  const close = async () => {
    child.ref();
    child.kill('SIGTERM');
    const force = setTimeout(() => child.kill('SIGKILL'), CLOSE_MS);
    if (child.exitCode === null && child.signalCode === null) await ended;
    clearTimeout(force);
  };
  return { url, pid: child.pid!, close: () => (closing ??= close()) };
}

function configuration(port: number, password: string, dataDir: string): string {
  return [
    'bind 127.0.0.1',
    `port ${port}`,
    `requirepass ${password}`,
    `dir ${JSON.stringify(dataDir)}`,
    'daemonize no',
    'logfile redis.log',
    'pidfile redis.pid',
    'appendonly yes',
    'appendfsync always', // a few events a job: an answer that was given survives a crash
    'save ""',
    'maxmemory-policy noeviction',
    '',
  ].join('\n');
}

/** Reads until the pipe closes (this process is gone), then ends Redis in the orderly way. */
function startWatchdog(pid: number): ChildProcess {
  const script = 'while read -r _; do :; done; kill "$0"';
  const watchdog = spawn('/bin/sh', ['-c', script, String(pid)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watchdog.on('error', () => undefined); // no shell: then only close() ends Redis
  watchdog.stdin.on('error', () => undefined);
  watchdog.unref();
  const pipe = watchdog.stdin as unknown as { unref?: () => void } | null;
  pipe?.unref?.();
  return watchdog;
}

/** Resolves when Redis has loaded its data and answers. */
async function answers(url: string): Promise<void> {
  const redis = new Redis(url, {
    lazyConnect: true,
    retryStrategy: () => POLL_MS,
    maxRetriesPerRequest: null,
    connectTimeout: READY_MS,
  });
  redis.on('error', () => undefined); // not there yet
  let timer: NodeJS.Timeout | undefined;
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new RedisStartError(`redis-server did not answer within ${READY_MS / 1000} s`)),
        READY_MS,
      );
    });
    const ping = redis.connect().catch(() => undefined);
    await Promise.race([ping.then(() => redis.ping()), late]);
  } finally {
    clearTimeout(timer);
    redis.disconnect();
  }
}

/** @throws RedisStartError when a Redis that is alive keeps its data there */
async function refuseSecond(dataDir: string): Promise<void> {
  const deadline = Date.now() + 1500;
  for (;;) {
    const pid = await readPid(join(dataDir, 'redis.pid'));
    if (pid === undefined || !isAlive(pid) || !(await isRedis(pid))) return;
    // the one of a coordinator that was just killed is on its way out
    if (Date.now() > deadline) {
      throw new RedisStartError(
        `another dtrain runs with this data folder: ${dataDir} belongs to redis-server ${pid}. ` +
          'End it, or give this one another --data-dir',
      );
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function readPid(file: string): Promise<number | undefined> {
  try {
    const pid = Number((await readFile(file, 'utf8')).trim());
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined; // Redis removes it when it ends
  }
}

/** The number may have gone to another program since, or Redis be dead; where the system does not say, it is Redis. */
async function isRedis(pid: number): Promise<boolean> {
  try {
    const [, name, state] = /^\d+ \((.*)\) (\w)/.exec(await readFile(`/proc/${pid}/stat`, 'utf8')) ?? [];
    return name?.startsWith('redis') === true && state !== 'Z';
  } catch {
    return true;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (cause) =>
      reject(new RedisStartError(`no free port on 127.0.0.1 (${cause.message})`, cause)),
    );
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

function missing(cause: Error): UserError {
  if (!('code' in cause) || cause.code !== 'ENOENT')
    return new RedisStartError(`redis-server: ${cause.message}`, cause);
  return new MissingProgramError(
    'redis-server is not installed. Debian and Ubuntu: sudo apt-get install redis-server; macOS: brew install redis; ' +
      'or use a Redis that runs already: --redis redis://HOST:6379',
    cause,
  );
}
