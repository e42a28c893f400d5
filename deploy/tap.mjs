// The tap root of a test run: spawns each file named as a plain Node process, two at a time, and writes their TAP as
// one stream. `tap run` would add loaders (TypeScript, mocks, coverage) that compiled tests do not need, and that every
// process started by a test would inherit.
// usage: node deploy/tap.mjs FILE...
import { t } from 'tap';

const JOBS = 2;
const FILE_SECONDS = 240;

t.jobs = JOBS;
t.setTimeout(0);
for (const file of process.argv.slice(2)) {
  void t.spawn(process.execPath, ['--enable-source-maps', file], {
    name: file,
    buffered: true,
    timeout: FILE_SECONDS * 1000,
    env: { ...process.env, TAP_TIMEOUT: String(FILE_SECONDS) },
  });
}
