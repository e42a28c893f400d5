import { formatAction, isCompute, isReceive, isSend, type Action } from './action.js';
import { ScheduleError } from './errors.js';
import { channelOf, follow } from './follow.js';
import { heldBy } from './memory.js';
import { computationsOf, rankOf, withTransfers, type PipelineSchedule } from './schedule.js';

/** Memory that a schedule must keep to. */
export interface ActivationLimits {
  /** Bytes that one micro-batch leaves on a stage between its forward pass and the end of its backward pass. */
  readonly bytesPerMicroBatch: readonly number[];
  /** What each rank may hold of them. */
  readonly budgetBytes: readonly number[];
}

/**
 * Whether a schedule can be followed: every micro-batch passes every stage forward and backward exactly once, on the
 * stage's rank and in that order; every send has its receive, in the same order on both ends; no rank waits for
 * ever; and, where limits are given, memory holds at every point. O(actions).
 * @throws ScheduleError naming the first action that is wrong
 */
export function validateSchedule(schedule: PipelineSchedule, limits?: ActivationLimits): void {
  checkComputations(schedule);
  checkTransfers(schedule);
  const stuck = follow(schedule, () => undefined);
  const waits = stuck.flatMap((action, rank) =>
    action ? [`rank ${rank} waits for ever with the ${formatAction(action)}`] : [],
  );
  if (waits.length > 0) throw new ScheduleError(`deadlock: ${waits.join('; ')}`);
  if (limits) checkMemory(schedule, limits);
}

function checkComputations({ programs, ranks, stages, microBatches }: PipelineSchedule): void {
  if (programs.length !== ranks) {
    throw new ScheduleError(`${programs.length} programs for ${ranks} ranks`);
  }
  const done = new Set<string>();
  const key = (kind: string, { stage, microBatch }: Action) => `${kind}:${stage}:${microBatch}`;
  const needs = (action: Action, ...kinds: string[]) => {
    for (const kind of kinds) {
      if (done.has(key(kind, action))) continue;
      throw new ScheduleError(`the ${formatAction(action)} comes before its ${kind}`);
    }
  };
  for (const [rank, program] of programs.entries()) {
    for (const action of program.filter(({ kind }) => isCompute(kind))) {
      const { kind, stage, microBatch } = action;
      if (!(stage >= 0 && stage < stages && microBatch >= 0 && microBatch < microBatches)) {
        throw new ScheduleError(
          `the ${formatAction(action)} does not exist: there are ${stages} stages and ${microBatches} micro-batches`,
        );
      }
      if (rankOf(stage, ranks) !== rank) {
        throw new ScheduleError(
          `rank ${rank} has the ${formatAction(action)}, which rank ${rankOf(stage, ranks)} holds`,
        );
      }
      if (kind !== 'forward') needs(action, 'forward');
      if (kind === 'backward-weight') needs(action, 'backward-input');
      const again = done.has(key(kind, action));
      const both =
        kind === 'backward'
          ? done.has(key('backward-input', action))
          : kind === 'backward-input' && done.has(key('backward', action));
      if (again || both) throw new ScheduleError(`the ${formatAction(action)} is there twice`);
      done.add(key(kind, action));
    }
  }
  for (let stage = 0; stage < stages; stage++) {
    for (let microBatch = 0; microBatch < microBatches; microBatch++) {
      const of: Action = { kind: 'forward', stage, microBatch };
      const whole = done.has(key('backward', of));
      const halves = done.has(key('backward-input', of)) && done.has(key('backward-weight', of));
      if (done.has(key('forward', of)) && (whole || halves)) continue;
      const missing = done.has(key('forward', of)) ? 'backward' : 'forward';
      throw new ScheduleError(`there is no ${formatAction({ ...of, kind: missing })}`);
    }
  }
}

/** Transfers are those that the computations call for, each right beside its computation. */
function checkTransfers(schedule: PipelineSchedule): void {
  const expected = withTransfers(schedule, schedule.programs.map(computationsOf));
  for (const [rank, program] of schedule.programs.entries()) {
    const want = expected.programs[rank]!;
    const at = program.findIndex((action, i) => !want[i] || formatAction(action) !== formatAction(want[i]));
    if (at < 0 && program.length === want.length) continue;
    const [found, wanted] = [program[at < 0 ? program.length : at], want[at < 0 ? program.length : at]];
    throw new ScheduleError(
      `rank ${rank} has ${found ? `the ${formatAction(found)}` : 'nothing'} where ${wanted ? `the ${formatAction(wanted)}` : 'its end'} should be`,
    );
  }
  checkOrder(schedule);
}

/** Messages of a channel arrive in the order in which they were sent: receivers must want them so. */
function checkOrder({ programs }: PipelineSchedule): void {
  const order = (wanted: (kind: Action['kind']) => boolean) => {
    const byChannel = new Map<string, number[]>();
    for (const action of programs.flat().filter(({ kind }) => wanted(kind))) {
      const channel = channelOf(action);
      const known = byChannel.get(channel);
      if (known) known.push(action.microBatch);
      else byChannel.set(channel, [action.microBatch]);
    }
    return byChannel;
  };
  const received = order(isReceive);
  for (const [channel, sent] of order(isSend)) {
    const wanted = received.get(channel) ?? [];
    const at = sent.findIndex((microBatch, i) => wanted[i] !== microBatch);
    if (at < 0) continue;
    throw new ScheduleError(
      `channel ${channel} carries micro-batch ${sent[at]!} where the receiver wants ${wanted[at] ?? 'nothing'}`,
    );
  }
}

function checkMemory(
  schedule: PipelineSchedule,
  { bytesPerMicroBatch, budgetBytes }: ActivationLimits,
): void {
  for (const [rank, program] of schedule.programs.entries()) {
    const budget = budgetBytes[rank]!;
    for (const { action, bytes } of heldBy(program, bytesPerMicroBatch)) {
      if (bytes <= budget) continue;
      throw new ScheduleError(
        `rank ${rank} would hold ${bytes} bytes of activations at the ${formatAction(action)}; it may hold ${budget}`,
      );
    }
  }
}
