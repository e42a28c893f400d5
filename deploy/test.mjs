// Runs the compiled tests with tap and prints how many assertions passed and failed, as tap counted them.
// usage: node deploy/test.mjs [FOLDER_OR_FILE_UNDER_test]...
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
// what takes long and mostly waits first, so that the short ones fill the gaps
const TIERS = ['e2e', 'fault', 'interop', 'integration', 'conformance', 'property', 'unit'];

/** The test sources of the tiers, or of what is named; a compiled test whose source is gone is not run. */
function testsIn(names) {
  const rank = (file) => TIERS.indexOf(file.split('/')[0]);
  const all = readdirSync(join(root, 'test'), { recursive: true })
    .map(String)
    .filter((file) => file.endsWith('.test.ts') && rank(file) >= 0)
    .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  const wanted = names.map((name) => name.replace(/^test\//, '').replace(/\/$/, ''));
  return wanted.length === 0
    ? all
    : all.filter((file) => wanted.some((name) => file === name || file.startsWith(`${name}/`)));
}

const files = testsIn(process.argv.slice(2)).map((file) =>
  join('dist', 'test', file.replace(/\.ts$/, '.js')),
);
const absent = files.filter((file) => !existsSync(join(root, file)));
if (absent.length > 0) {
  console.error(`not built: ${absent.join(', ')}; run: make build`);
  process.exit(1);
}
if (files.length === 0) {
  console.error('no test found');
  process.exit(1);
}

const started = Date.now();
mkdirSync(join(root, '.tap'), { recursive: true });
rmSync(join(root, '.tap', 'summary.json'), { force: true });
const tap = spawn(process.execPath, [join(root, 'deploy/tap.mjs'), ...files], {
  cwd: root,
  stdio: ['ignore', 'pipe', 'inherit'],
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => tap.kill(signal));

/** The last `# { total: 9, pass: 8, fail: 1 }` at the left margin is tap's count of everything. */
const COUNTS = /^# \{ total: \d+.*\}/;
const counts = { pass: 0, fail: 0, skip: 0, todo: 0 };
let failing = false; // inside the YAML of a failure
const failedFiles = [];
for await (const line of createInterface({ input: tap.stdout })) {
  if (COUNTS.test(line)) {
    for (const [, key, value] of line.matchAll(/(\w+): (\d+)/g)) counts[key] = Number(value);
  }
  // a line for each file, and every failure in full
  const depth = line.search(/\S/);
  if (line.startsWith('not ok ')) failedFiles.push(line.replace(/^not ok \d+ - /, ''));
  if (/^\s*not ok /.test(line) || (depth === 0 && /^ok /.test(line))) console.log(line);
  if (/^\s*not ok /.test(line)) failing = true;
  else if (failing && /^\s*(ok |# |not ok )/.test(line)) failing = false;
  else if (failing) console.log(line);
}
const status = await new Promise((done) => tap.on('close', (code) => done(code ?? 1)));
const ok = status === 0 && counts.fail === 0 && counts.pass > 0;
// a process that died between its assertions has failed, though none of them did
counts.fail = Math.max(counts.fail, failedFiles.length);
const skipped = counts.skip + counts.todo;
writeFileSync(join(root, '.tap', 'summary.json'), JSON.stringify({ ...counts, files: files.length, ok }));
for (const file of failedFiles) console.log(`failed: ${file}`);
console.log(`${files.length} test files in ${((Date.now() - started) / 1000).toFixed(0)} s`);
console.log(`${counts.pass} passed, ${counts.fail} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exit(ok ? 0 : status || 1);
