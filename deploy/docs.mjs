// Writes the documents that are generated from the code, from the build in `dist`.
import { writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const { operatorsDocument } = await import(join(root, process.argv[2] ?? 'dist', 'graph/document/index.js'));
writeFileSync(join(root, 'docs/operators.md'), operatorsDocument());
