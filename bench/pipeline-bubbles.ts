/**
 * Idle time of pipelines: of each schedule, as the simulator plays it with equal stages and free messages, beside its
 * published formula; and of runs, from their trace.json, beside what the plan next to it predicts, with a picture of both.
 *
 * usage: node dist/bench/pipeline-bubbles.js [TRACE.json]...
 */
import { existsSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import {
  bubbleOf,
  compare,
  eventsOfSimulation,
  fromChromeTrace,
  makeSchedule,
  simulate,
  timelineOf,
  toText,
  uniformCosts,
  type Pair,
  type Plan,
  type ScheduleKind,
  type Timeline,
} from '../scheduler/index.js';

interface Published {
  readonly kind: ScheduleKind;
  readonly stagesPerRank: number;
  readonly formula: string;
  /** p pipeline ranks, m micro-batches, every pass as long as a forward pass. */
  readonly bubble: (p: number, m: number) => number;
  readonly holds: (p: number, m: number) => boolean;
}

const share = (idle: number, m: number) => idle / (m + idle);
const always = () => true;
const PUBLISHED: readonly Published[] = [
  {
    kind: 'gpipe',
    stagesPerRank: 1,
    formula: '(p-1)/(m+p-1)',
    bubble: (p, m) => share(p - 1, m),
    holds: always,
  },
  {
    kind: '1f1b',
    stagesPerRank: 1,
    formula: '(p-1)/(m+p-1)',
    bubble: (p, m) => share(p - 1, m),
    holds: always,
  },
  ...[2, 4].map((v): Published => ({
    kind: 'interleaved',
    stagesPerRank: v,
    formula: `(p-1)/${v} / (m+(p-1)/${v})`,
    bubble: (p, m) => share((p - 1) / v, m),
    holds: (p, m) => m % p === 0,
  })),
  {
    kind: 'zero-bubble',
    stagesPerRank: 1,
    formula: '(p-1)/(3m+p-1)',
    bubble: (p, m) => share((p - 1) / 3, m),
    holds: (p, m) => m >= 2 * p - 1,
  },
];
const SHAPES = [
  [2, 4],
  [2, 8],
  [4, 8],
  [4, 16],
  [8, 16],
  [8, 64],
] as const;

function simulated(): void {
  const unit = { forward: 1, backwardInput: 1, backwardWeight: 1 };
  const rows = PUBLISHED.flatMap(({ kind, stagesPerRank, formula, bubble, holds }) =>
    SHAPES.filter(([p, m]) => holds(p, m)).map(([ranks, microBatches]) => {
      const schedule = makeSchedule(kind, { ranks, microBatches, stagesPerRank });
      const played = bubbleOf(eventsOfSimulation(simulate(schedule, uniformCosts(schedule.stages, unit))));
      const expected = bubble(ranks, microBatches);
      return [
        stagesPerRank > 1 ? `${kind} (${stagesPerRank} a rank)` : kind,
        String(ranks),
        String(microBatches),
        percent(played.bubble),
        percent(expected),
        formula,
      ];
    }),
  );
  console.log(
    'Simulated, with equal stages, halves of a backward pass as long as a forward pass, free messages:',
  );
  print(['SCHEDULE', 'RANKS', 'MICRO-BATCHES', 'SIMULATED', 'PUBLISHED', 'FORMULA'], rows);
}

interface Run extends Timeline {
  readonly path: string;
  /** plan.json beside the trace, where there is one. */
  readonly plan: Plan | undefined;
}

function readRun(path: string): Run {
  const beside = join(dirname(path), 'plan.json');
  const plan = existsSync(beside) ? (JSON.parse(readFileSync(beside, 'utf8')) as Plan) : undefined;
  return { ...fromChromeTrace(JSON.parse(readFileSync(path, 'utf8'))), path, plan };
}

/** A run's bubble beside that of its plan, played with what the plan predicts, and the formula of equal stages. */
function measured({ events, names, plan }: Run): readonly string[] {
  const { steps } = bubbleOf(events);
  const { bubble, stepSeconds } = compare(plan ? timelineOf(plan).events : [], events);
  const { kind = '?', microBatches = 0, stagesPerRank = 1 } = plan?.schedule ?? {};
  const p = (plan?.stages.length ?? 0) / stagesPerRank;
  const formula = PUBLISHED.find((each) => each.kind === kind && each.stagesPerRank === stagesPerRank);
  const published = formula?.holds(p, microBatches) ? percent(formula.bubble(p, microBatches)) : '-';
  return [
    names.title,
    plan ? `${kind}, ${p} x ${microBatches}` : '-',
    String(steps.length),
    ...pairOf(bubble, percent),
    published,
    ...pairOf(stepSeconds, (seconds) => `${(1000 * seconds).toFixed(1)} ms`),
  ];
}

/** The run's last step, and the plan's. */
function picturesOf({ events, names, path, plan }: Run): string {
  const last = events.reduce((most, { step }) => Math.max(most, step), 0);
  const options = {
    columns: process.stdout.isTTY ? process.stdout.columns : 120,
    colour: process.stdout.isTTY,
  };
  const own = toText(
    events.filter(({ step }) => step === last),
    { ...options, names: { ...names, title: `${path}, step ${last}` } },
  );
  if (!plan) return own;
  const predicted = timelineOf(plan);
  return `${own}\n${toText(predicted.events, { ...options, names: predicted.names })}`;
}

/** Real, then simulated. */
function pairOf({ simulated, real }: Pair, text: (value: number) => string): readonly [string, string] {
  return [real === null ? '-' : text(real), simulated === null ? '-' : text(simulated)];
}

function percent(part: number): string {
  return `${(100 * part).toFixed(2)} %`;
}

function print(header: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = header.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]!.length)));
  for (const row of [header, ...rows])
    console.log(
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    );
}

const runs = process.argv.slice(2).map(readRun);
console.log(`${cpus()[0]?.model ?? 'unknown CPU'}, Node ${process.version}`);
simulated();
if (runs.length > 0) {
  console.log('\nRuns, from their traces, beside their plans as simulated and equal stages:');
  const header = [
    'JOB',
    'RANKS x MICRO-BATCHES',
    'STEPS',
    'BUBBLE',
    'SIMULATED',
    'PUBLISHED',
    'STEP',
    'SIMULATED',
  ];
  print(header, runs.map(measured));
  for (const run of runs) console.log(`\n${picturesOf(run)}`);
}
