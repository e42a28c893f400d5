import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { askChild } from '../../../worker/device/index.js';

const folder = mkdtempSync(join(tmpdir(), 'dtrain-test-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

/** A process that does what drivers do. */
function program(text: string): string {
  const path = join(folder, `${Math.random()}.mjs`);
  writeFileSync(path, text);
  return path;
}

t.test('an answer is taken, whatever becomes of the process', async (t) => {
  const path = program(`process.send({ found: 1 }); setTimeout(() => process.abort(), 10);`);
  t.strictSame(await askChild(path, 'looking', 20), { found: 1 });
});

t.test('a driver that hangs is given up, one that aborts is told with its last words', async (t) => {
  await t.rejects(askChild(program('setInterval(() => {}, 1000); for (;;);'), 'looking', 0.5), {
    code: 'device_unusable',
    message: /^looking: no answer within 0.5 s$/,
  });
  await t.rejects(
    askChild(
      program(`process.stderr.write('first\\nvkQueueSubmit: device lost\\n', () => process.abort());`),
      'looking',
      20,
    ),
    { code: 'device_unusable', message: /^looking: its process was ended by SIGABRT/ },
  );
  await t.rejects(askChild(program(`console.error('no ICD'); process.exit(3);`), 'looking', 20), {
    message: /exited with 3: no ICD/,
  });
  const hanging = program('setInterval(() => {}, 1000); for (;;);');
  for (const signal of [AbortSignal.abort(), AbortSignal.timeout(300)]) {
    await t.rejects(askChild(hanging, 'looking', 20, signal), { message: 'looking: it was interrupted' });
  }
});
