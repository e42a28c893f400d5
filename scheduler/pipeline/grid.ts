import type { Compute } from './action.js';
import { ScheduleError } from './errors.js';
import {
  SCHEDULE_KINDS,
  rankOf,
  withTransfers,
  type PipelineSchedule,
  type ScheduleKind,
  type Step,
} from './schedule.js';
import { simulate, uniformCosts } from './simulate.js';
import { validateSchedule } from './validate.js';

const LETTERS: Readonly<Record<Compute, string>> = {
  forward: 'F',
  backward: 'B',
  'backward-input': 'I',
  'backward-weight': 'W',
};
const IDLE = '.';
/** The second slot of a whole backward pass, which takes twice as long as a forward pass. */
const GOES_ON = '=';

/**
 * A schedule as a grid of ranks and time, one slot for a forward pass and for each half of a backward pass:
 *
 *     1f1b: 2 ranks, 2 stages, 3 micro-batches
 *     rank 0 | F0 F1 .  B0 =  F2 B1 =  .  B2 =
 *     rank 1 | .  F0 B0 =  F1 B1 =  F2 B2 =  .
 *
 * `F2.4` is micro-batch 2 on stage 4, where a rank has several stages.
 */
export function printGrid(schedule: PipelineSchedule): string {
  const { kind, ranks, stages, microBatches } = schedule;
  const unit = { forward: 1, backwardInput: 1, backwardWeight: 1 };
  const { events, seconds } = simulate(schedule, uniformCosts(stages, unit));
  const cells = Array.from({ length: ranks }, () => new Array<string>(seconds).fill(IDLE));
  for (const event of events) {
    const stage = stages > ranks ? `.${event.stage}` : '';
    cells[event.rank]![event.start] = `${LETTERS[event.kind]}${event.microBatch}${stage}`;
    for (let slot = event.start + 1; slot < event.end; slot++) cells[event.rank]![slot] = GOES_ON;
  }
  const width = Math.max(...cells.flat().map((cell) => cell.length));
  const label = String(ranks - 1).length;
  const rows = cells.map((row, rank) =>
    `rank ${String(rank).padStart(label)} | ${row.map((cell) => cell.padEnd(width)).join(' ')}`.trimEnd(),
  );
  const head = `${kind}: ${ranks} ranks, ${stages} stages, ${microBatches} micro-batches`;
  return [head, ...rows].join('\n');
}

const HEAD = /^(\S+): (\d+) ranks, (\d+) stages, (\d+) micro-batches$/;
const CELL = /^([FBIW])(\d+)(?:\.(\d+))?$/;

/**
 * Reads a grid back; the time of idle slots does not matter, the order of computations does.
 * @throws ScheduleError naming the line and what was found, or what `validateSchedule` finds
 */
export function parseGrid(text: string): PipelineSchedule {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const head = HEAD.exec(lines[0]?.trim() ?? '');
  if (!head) {
    throw new ScheduleError(
      `line 1 is "${lines[0] ?? ''}"; a head such as "1f1b: 2 ranks, 2 stages, 4 micro-batches" would be accepted`,
    );
  }
  const [ranks, stages, microBatches] = head.slice(2).map(Number) as [number, number, number];
  const known = SCHEDULE_KINDS.find((each) => each === head[1]);
  const kind: ScheduleKind | 'custom' = known ?? 'custom';
  if (lines.length !== ranks + 1) {
    throw new ScheduleError(`${lines.length - 1} rows follow the head, which says ${ranks} ranks`);
  }
  const programs = lines.slice(1).map((line, rank) => parseRow(line, rank, ranks));
  const schedule = withTransfers({ kind, ranks, stages, microBatches }, programs);
  validateSchedule(schedule);
  return schedule;
}

function parseRow(line: string, rank: number, ranks: number): Step[] {
  const row = /^rank\s+(\d+)\s*\|(.*)$/.exec(line.trim());
  if (Number(row?.[1]) !== rank || !row) {
    throw new ScheduleError(`line ${rank + 2} is "${line}"; "rank ${rank} | ..." would be accepted`);
  }
  return row[2]!
    .split(/\s+/)
    .filter((cell) => cell !== '' && cell !== IDLE && cell !== GOES_ON)
    .map((cell) => {
      const found = CELL.exec(cell);
      const kind = (Object.keys(LETTERS) as Compute[]).find((each) => LETTERS[each] === found?.[1]);
      if (!found || !kind) {
        throw new ScheduleError(`line ${rank + 2}: "${cell}" is no cell; F3, B3, I3, W3, F3.5, . and = are`);
      }
      const stage = found[3] === undefined ? rank : Number(found[3]);
      if (rankOf(stage, ranks) !== rank) {
        throw new ScheduleError(
          `line ${rank + 2}: stage ${stage} of "${cell}" is on rank ${rankOf(stage, ranks)}`,
        );
      }
      return { kind, stage, microBatch: Number(found[2]) };
    });
}
