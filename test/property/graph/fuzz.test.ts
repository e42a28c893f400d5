import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import t from 'tap';

/** Damaged models that are tried; DTRAIN_FUZZ_RUNS asks for more, DTRAIN_FUZZ_SEED for others. */
const RUNS = Number(process.env['DTRAIN_FUZZ_RUNS'] ?? 150);
const FIRST = Number(process.env['DTRAIN_FUZZ_SEED'] ?? 200);
/** Nothing is allocated by what a damaged file merely claims; the intact models and the program take the rest. */
const HEAP_MEBIBYTES = 768;
const MOST_MEBIBYTES = 1536;
const SLOWEST_SECONDS = 60;

interface Line {
  readonly seed?: number;
  readonly name?: string;
  readonly slowest?: number;
  readonly peakMebibytes?: number;
}

t.test('a damaged model is refused in words, or is a model still', { timeout: 0 }, async (t) => {
  const child = spawn(
    process.execPath,
    [
      `--max-old-space-size=${HEAP_MEBIBYTES}`,
      join(import.meta.dirname, 'fuzz-child.js'),
      String(FIRST),
      String(RUNS),
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let last = 'nothing was tried';
  let result: Line = {};
  let hung = false;
  const deadline = setTimeout(() => {
    hung = true;
    child.kill('SIGKILL');
  }, SLOWEST_SECONDS * 1000);
  const errors = text(child.stderr);
  const exit = once(child, 'exit') as Promise<[number | null, string | null]>;
  for await (const line of createInterface(child.stdout)) {
    deadline.refresh();
    const message = JSON.parse(line) as Line;
    if (message.seed === undefined) result = message;
    else last = line;
  }
  clearTimeout(deadline);
  const [code, signal] = await exit;
  t.notOk(hung, `no model takes more than ${SLOWEST_SECONDS} s: ${last}`);
  t.equal(code, 0, `no crash: ${last} ${signal ?? ''} ${(await errors).slice(0, 4000)}`);
  const peak = result.peakMebibytes ?? Infinity;
  t.ok(peak < MOST_MEBIBYTES, JSON.stringify(result));
});
