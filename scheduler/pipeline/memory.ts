import { isCompute, type Action } from './action.js';
import type { PipelineSchedule } from './schedule.js';

/** What a rank holds of activations after it began an action. */
export interface Held {
  readonly action: Action;
  readonly bytes: number;
}

/**
 * Activations that a rank holds at every computation of its program: a micro-batch's are there from the start of
 * its forward pass to the end of its backward pass (of its weight half, where the two are apart).
 * @param bytesPerMicroBatch for each stage
 */
export function heldBy(program: readonly Action[], bytesPerMicroBatch: readonly number[]): readonly Held[] {
  let bytes = 0;
  return program
    .filter(({ kind }) => isCompute(kind))
    .map((action) => {
      const size = bytesPerMicroBatch[action.stage]!;
      if (action.kind === 'forward') bytes += size;
      const held = { action, bytes };
      if (action.kind === 'backward' || action.kind === 'backward-weight') bytes -= size;
      return held;
    });
}

/** The most micro-batches of a stage that are in flight at once; S - s for 1F1B, all of them for GPipe. */
export function mostInFlight(schedule: PipelineSchedule, stage: number): number {
  const one = Array.from({ length: schedule.stages }, (_, each) => (each === stage ? 1 : 0));
  const program = schedule.programs[stage % schedule.ranks]!;
  return heldBy(program, one).reduce((most, { bytes }) => Math.max(most, bytes), 0);
}
