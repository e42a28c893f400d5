// Writes the documents that are generated from the code, from the build in `dist`.
import { writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const built = join(root, process.argv[2] ?? 'dist');
const { operatorsDocument } = await import(join(built, 'graph/document/index.js'));
const { operatorsOf } = await import(join(built, 'worker/engine/gpujs/support.js'));
writeFileSync(join(root, 'docs/operators.md'), operatorsDocument(operatorsOf('wasm')));
