import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import t from 'tap';
import { createProgram } from '../../../cli/program.js';
import { createSession } from '../../../cli/session.js';
import { datasetSchemas } from '../../../data/index.js';
import { operatorsDocument } from '../../../graph/document/index.js';
import { operatorsOf } from '../../../worker/engine/gpujs/support.js';
import { JobSpecSchema, OptimizerSchema, ScheduleSchema } from '../../../protocol/index.js';
import { repositoryRoot } from '../../root.js';

const doc = (name: string): string => readFileSync(join(repositoryRoot, 'docs', name), 'utf8');

/** Names in backticks. */
const named = (text: string): Set<string> =>
  new Set([...text.matchAll(/`([^`\n]+)`/g)].map((match) => match[1]!));

/** The TypeScript sources of a folder. */
const sources = (folder: string): string[] =>
  readdirSync(join(repositoryRoot, folder), { recursive: true })
    .map(String)
    .filter((file) => file.endsWith('.ts') && !file.includes('/gen/'))
    .map((file) => readFileSync(join(repositoryRoot, folder, file), 'utf8'));

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly anyOf?: readonly Schema[];
}

/** Every key of a schema, at any depth. */
function keysOf(schema: Schema): string[] {
  const own = Object.entries(schema.properties ?? {}).flatMap(([key, inner]) => [key, ...keysOf(inner)]);
  return [...own, ...(schema.anyOf ?? []).flatMap(keysOf)];
}

t.test('job-file.md and optimizers.md name every key', async (t) => {
  const file = named(doc('job-file.md'));
  const optimizers = named(doc('optimizers.md'));
  const { data: _data, optimizer: _optimizer, schedule: _schedule, ...rest } = JobSpecSchema.properties;
  for (const key of keysOf({ properties: rest as Record<string, Schema> })) t.ok(file.has(key), key);
  for (const schema of Object.values(datasetSchemas)) {
    for (const key of keysOf(schema as Schema)) {
      const rows = key === 'rows' && file.has('rows: [start, end)');
      t.ok(rows || file.has(key), `data: ${key}`);
    }
  }
  for (const key of [...keysOf(OptimizerSchema as Schema), ...keysOf(ScheduleSchema as Schema)]) {
    t.ok(optimizers.has(key), key);
  }
});

t.test('cli.md names every command and option', async (t) => {
  const text = doc('cli.md');
  const streams = { stdout: process.stdout, stderr: process.stderr, env: {} };
  const visit = (command: Command, path: string): void => {
    if (command.commands.length === 0) t.match(text, `\`dtrain ${path}`, path);
    for (const option of command.options) {
      if (option.long !== undefined && option.long !== '--version')
        t.match(text, option.long, `${path} ${option.long}`);
    }
    for (const inner of command.commands) visit(inner, `${path} ${inner.name()}`.trim());
  };
  visit(createProgram(createSession(streams, false, new AbortController().signal)), '');
});

t.test('rest.md names every route', async (t) => {
  const text = doc('rest.md');
  const routes = sources('coordinator/rest').flatMap((source) =>
    [...source.matchAll(/app\.(get|put|post|head)(?:<[^(]*>)?\(\s*'(\/[^']*)'/g)].map(
      ([, method, path]) =>
        `${method!.toUpperCase()} ${path!.replace(/:(\w+)/g, '{$1}').replace('/*', '/{path}')}`,
    ),
  );
  t.ok(routes.length > 10);
  for (const route of routes) t.match(text, `\`${route}\``, route);
});

t.test('errors.md names every code', async (t) => {
  const codes = new Set<string>();
  const folders = [
    'base',
    'graph',
    'data',
    'scheduler',
    'collectives',
    'protocol',
    'worker',
    'coordinator',
    'cli',
  ];
  for (const source of folders.flatMap(sources)) {
    for (const pattern of [
      /super\(\s*'([a-z]+(?:_[a-z]+)*)',/g,
      /new (?:User|Peer|Host|Request|Data|Coordinator|Artifact|Executor|Transport|Frame|Collective)Error\(\s*'([a-z_]+)'/g,
      /\bcode: '([a-z_]+)'/g,
      /\.leave\(\s*[\w.]+,\s*'([a-z_]+)'/g,
      /^ {2}\| '([a-z_]+)'/gm,
    ]) {
      for (const [, code] of source.matchAll(pattern)) if (code!.includes('_')) codes.add(code!);
    }
  }
  t.ok(codes.size > 60, `found ${codes.size}`);
  const known = named(doc('errors.md'));
  for (const code of codes) t.ok(known.has(code), code);
});

t.test('operators.md is what `make docs` writes', async (t) => {
  t.equal(doc('operators.md'), operatorsDocument(operatorsOf('wasm')));
});

t.test('links between documents lead somewhere', async (t) => {
  const files = [
    'README.md',
    'deploy/README.md',
    ...readdirSync(join(repositoryRoot, 'docs')).map((name) => `docs/${name}`),
  ];
  for (const file of files.filter((name) => name.endsWith('.md'))) {
    const text = readFileSync(join(repositoryRoot, file), 'utf8');
    for (const [, link] of text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      t.ok(existsSync(join(repositoryRoot, file, '..', link!)), `${file}: ${link}`);
    }
  }
});
