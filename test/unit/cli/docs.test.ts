import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { Writable } from 'node:stream';
import type { Command } from 'commander';
import t from 'tap';
import { createProgram } from '../../../cli/program.js';
import { createSession } from '../../../cli/session.js';
import { defaultExportOf } from '../../../cli/submit/module.js';
import { datasetSchemas } from '../../../data/index.js';
import * as nn from '../../../graph/nn/index.js';
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

t.test('models.md names every export of dtrain/nn, and its modules are models', async (t) => {
  const text = doc('models.md') + doc('debugging.md') + doc('own-operators.md');
  const internal = ['LayerError', 'NotAModelError', 'NoValueError', 'KernelError', 'OperatorError'];
  const exported = Object.keys(nn).filter(
    (name) => !['isModel', 'toGraph', 'checkOperator', ...internal].includes(name),
  );
  for (const name of exported) t.match(text, new RegExp(`\\b${name}\\b`), name);
  const modules = [...doc('models.md').matchAll(/^```ts\n([^]*?)^```/gm)].map(([, code]) => code!);
  t.equal(modules.length, 2);
  for (const [i, code] of modules.entries()) {
    const folder = t.testdir({ [`model-${i}.ts`]: code });
    const model = await defaultExportOf(join(folder, `model-${i}.ts`));
    t.ok(nn.isModel(model));
  }
});

const documents = ['README.md', 'CHANGELOG.md', 'deploy/README.md', 'examples/README.md'].concat(
  readdirSync(join(repositoryRoot, 'docs'), { recursive: true })
    .map((name) => `docs/${String(name)}`)
    .filter((name) => name.endsWith('.md')),
);
const read = (file: string): string => readFileSync(join(repositoryRoot, file), 'utf8');
/** As code hosts name headings: lower case, hyphens for blanks, other signs left out. */
const anchors = (file: string): string[] =>
  [...read(file).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

t.test('links between documents lead somewhere, to headings too', async (t) => {
  for (const file of documents) {
    for (const [, link] of read(file).matchAll(/\]\((?!https?:)([^)]+)\)/g)) {
      const [path, anchor] = link!.split('#');
      const target = path === '' ? file : normalize(join(file, '..', path!));
      t.ok(existsSync(join(repositoryRoot, target)), `${file}: ${link}`);
      if (anchor !== undefined) t.ok(anchors(target).includes(anchor), `${file}: ${link}`);
    }
  }
  for (const name of readdirSync(join(repositoryRoot, 'docs')).filter((name) => name.endsWith('.md')))
    t.match(read('README.md'), `docs/${name}`, `the README leads to ${name}`);
});

t.test('files, commands and targets that documents name are there', async (t) => {
  const folders = readdirSync(repositoryRoot, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.') && entry.name !== 'node_modules')
    .map(({ name }) => name);
  const makefile = read('Makefile');
  const { commands } = createProgram(createSession({ stdout: process.stdout, stderr: process.stderr, env: {} }, false, new AbortController().signal)); // prettier-ignore
  const known = new Set(commands.map((command) => command.name()));
  for (const file of documents) {
    const text = read(file);
    for (const word of named(text)) {
      const [path] = /^[\w./-]+/.exec(word) ?? [];
      if (path === undefined || !folders.includes(path.split('/')[0]!) || !path.includes('/')) continue;
      if (path.startsWith('dist/')) continue; // below
      const at = join(repositoryRoot, path);
      t.ok([at, `${at}.ts`].some(existsSync), `${file}: ${word}`);
    }
    for (const [, path] of text.matchAll(/node dist\/([\w/-]+)\.js/g))
      t.ok(existsSync(join(repositoryRoot, `${path}.ts`)), `${file}: dist/${path}.js`);
    for (const [, target] of text.matchAll(/`make ([a-z]+)/g))
      t.match(makefile, new RegExp(`^${target}:`, 'm'), `${file}: make ${target}`);
    const shell = [...text.matchAll(/^```sh\n([^]*?)^```/gm)].map(([, lines]) =>
      lines!.replaceAll(/^/gm, '`'),
    );
    for (const [, name] of [text, ...shell].join('\n').matchAll(/(?:`|bin\/)dtrain ([a-z]+)\b/g))
      t.ok(known.has(name!), `${file}: dtrain ${name}`);
  }
});

t.test('every command has examples in its help', async (t) => {
  let help = '';
  const { stderr } = process;
  const stdout = new Writable({
    write(text: Buffer, _encoding, done) {
      help += text.toString();
      done();
    },
  });
  const session = createSession({ stdout, stderr, env: {} }, false, new AbortController().signal);
  const visit = async (command: Command, path: readonly string[]): Promise<void> => {
    for (const inner of command.commands) await visit(inner, [...path, inner.name()]);
    if (command.commands.length > 0) return;
    help = '';
    await t.rejects(createProgram(session).parseAsync([...path, '--help'], { from: 'user' }));
    t.match(help, new RegExp(`Examples:\\n {2}\\$ dtrain ${path.join(' ')}`), path.join(' '));
    t.notMatch(help, '(default: [])');
  };
  await visit(createProgram(session), []);
});
