// The demo: trains a small GPT on English text with two unequal CPU devices, over the command line that users have.
// usage: make demo
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { relative, join } from 'node:path';
import { formatSeconds, reportOf } from '../../base/index.js';
import { bigramCrossEntropy, openDataset, type DatasetSpec } from '../../data/index.js';
import { parse } from 'yaml';
import type { JobRecord, JobSpec } from '../../protocol/index.js';
import { repositoryRoot as root } from '../root.js';
import { Cluster } from './cluster.js';
import { buildCorpus } from './corpus.js';
import { generate } from './generate.js';

const FOLDER = join(root, '.demo');
const JOB = join(root, 'examples/demo/job.yaml');
const CORPUS_CHARACTERS = 1e6;
// the second device is throttled to half of its speed: a cluster of unequal machines, rehearsed on one
const DEVICES = ['cpu:0,memory=1GiB,threads=1', 'cpu:1,memory=768MiB,threads=1,speed=0.5'];

const say = (line: string): void => void process.stderr.write(`\n== ${line}\n`);
const here = (path: string): string => relative(process.cwd(), path) || path;

async function main(): Promise<number> {
  const started = performance.now();
  for (const old of ['cluster', 'out']) rmSync(join(FOLDER, old), { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });

  const corpus = buildCorpus(join(root, 'node_modules'), CORPUS_CHARACTERS);
  writeFileSync(join(FOLDER, 'train.txt'), corpus.train);
  writeFileSync(join(FOLDER, 'validation.txt'), corpus.validation);
  say(
    `the text: prose from ${corpus.files} READMEs and licences in node_modules, ` +
      `${corpus.train.length} characters to train on, ${corpus.validation.length} to validate with (${here(FOLDER)})`,
  );

  say(
    'the cluster: private Redis, coordinator, one worker daemon with two CPU devices, the second at half speed',
  );
  const cluster = await Cluster.start(root, join(FOLDER, 'cluster'), DEVICES);
  try {
    dtrain(cluster, 'devices');
    say(`the job: dtrain submit ${here(JOB)} --follow --explain`);
    const { status, stdout } = dtrain(cluster, 'submit', JOB, '--follow', '--explain');
    if (status !== 0) return status;
    const ok = await judge(cluster, stdout.trim());
    say(
      `${ok ? 'done' : 'NOT better than the bigram model'} in ${formatSeconds((performance.now() - started) / 1000)}`,
    );
    return ok ? 0 : 1;
  } finally {
    await cluster.stop();
  }
}

/** Shows what was trained, beside what counting pairs of characters gives. */
async function judge(cluster: Cluster, id: string): Promise<boolean> {
  const job = parse(readFileSync(JOB, 'utf8')) as JobSpec;
  const model = join(FOLDER, 'out/model.onnx');
  const target = { kind: 'classes' } as const;
  const open = (spec: DatasetSpec, context = {}) =>
    openDataset(spec, { resolve: (file) => join(root, 'examples/demo', file), target, context });
  const train = await open(job.data.train);
  const validation = await open(job.data.validation!, train.context);
  const bigram = await bigramCrossEntropy(train, validation);
  const context = validation.target.sampleShape[0]!;

  const url = `${cluster.url}/v1/jobs/${id}`;
  const answer = await (await fetch(url)).text();
  const { validationLoss } = JSON.parse(answer) as JobRecord;
  const trained = validationLoss ?? Infinity;
  say('the same job over REST');
  process.stdout.write(`$ curl ${url}\n${answer}\n`);

  say('text that it writes');
  const vocabulary = JSON.parse(readFileSync(join(FOLDER, 'out/vocabulary.json'), 'utf8')) as string[];
  const options = { vocabulary, context, prompt: 'This package is ', length: 400, temperature: 0.7, seed: 1 };
  process.stdout.write(`${await generate(model, options)}\n`);

  say('the result');
  process.stdout.write(
    `validation loss of the trained model: ${trained.toFixed(3)} nats a character\n` +
      `validation loss of a bigram model:    ${bigram.toFixed(3)} nats a character\n` +
      `the trained model, for any ONNX runtime: ${here(model)}\n`,
  );
  return trained < bigram;
}

/** Runs a command as a user would; its progress goes to this terminal. */
function dtrain(cluster: Cluster, ...args: readonly string[]): { status: number; stdout: string } {
  const { status, stdout } = spawnSync(
    process.execPath,
    [join(root, 'bin/dtrain'), ...args, '--coordinator', cluster.url],
    {
      stdio: ['inherit', 'pipe', 'inherit'],
      encoding: 'utf8',
    },
  );
  process.stdout.write(stdout);
  return { status: status ?? 130, stdout };
}

try {
  process.exitCode = await main();
} catch (error) {
  const { code, message } = reportOf(error);
  process.stderr.write(`error [${code}] ${message}\n`);
  process.exitCode = 1;
}
