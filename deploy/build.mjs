// Builds the project into an output folder (default `dist`): TypeScript to JavaScript, AssemblyScript
// kernels to WebAssembly, and the few non-code files that the code reads at run time.
// usage: node deploy/build.mjs [OUT_DIR]
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const out = resolve(root, process.argv[2] ?? 'dist');
const bin = (name) => join(root, 'node_modules', '.bin', name);
const run = (command, args) => execFileSync(command, args, { cwd: root, stdio: 'inherit' });

mkdirSync(out, { recursive: true });
let failed = false;
try {
  const info = join(out, 'build.tsbuildinfo');
  run(bin('tsc'), ['-p', '.', '--outDir', out, '--incremental', '--tsBuildInfoFile', info]);
} catch {
  failed = true; // tsc has printed its errors; go on, so that one folder's mistake does not hide another's
}

for (const folder of ['collectives/kernels', 'worker/optimizer']) {
  const sources = join(root, folder, 'assembly');
  if (!existsSync(sources)) continue;
  for (const file of readdirSync(sources).filter((name) => name.endsWith('.ts'))) {
    const wasm = join(out, folder, file.replace(/\.ts$/, '.wasm'));
    run(bin('asc'), [
      join(sources, file),
      '--outFile',
      wasm,
      '-O3',
      '--noAssert',
      '--runtime',
      'stub',
      '--enable',
      'simd',
      '--importMemory',
      '--initialMemory',
      '1',
      '--maximumMemory',
      '65536',
    ]);
  }
}
process.exit(failed ? 1 : 0);
