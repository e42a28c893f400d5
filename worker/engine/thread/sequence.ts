import type { Bytes } from '../../../base/index.js';
import { ALIGNMENT_BYTES } from '../../../scheduler/index.js';
import { bytesPerElement, byteLengthOf, dataFromBytes, type TensorData } from '../../../graph/index.js';
import { BufferError } from '../errors.js';
import type { ValueSpec } from '../port.js';

/** Names a program inside its compute thread. */
export type ProgramId = number;

/** Where a value lies: in which of the sequence's buffers, at which byte. Its type is the program's. */
export interface Slot {
  readonly buffer: number;
  readonly byteOffset: number;
}

/** One buffer of a sequence. */
export interface BufferPlan {
  readonly bytes: number;
  /**
   * `travelling`: handed over with every run and handed back by it.
   * `resident`: made once by the thread, zero at first, and kept from run to run: what one segment leaves
   * for a later one.
   */
  readonly kind: 'travelling' | 'resident';
}

/** One program of a sequence and where its values are. */
export interface SegmentPlan {
  readonly program: ProgramId;
  /** One a program's input, in its order. */
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
  /**
   * Travelling buffers that are handed back as soon as this segment has run, while the next one computes;
   * no later segment may use them. A buffer that no segment releases comes back after the last.
   */
  readonly release: readonly number[];
}

/** Programs that run one after the other on the same buffers: one training step. Plain data. */
export interface SequencePlan {
  readonly buffers: readonly BufferPlan[];
  readonly segments: readonly SegmentPlan[];
}

/** The typed edges of a program, as `checkSequence` needs them. */
export interface ProgramEdges {
  readonly inputs: readonly ValueSpec[];
  readonly outputs: readonly ValueSpec[];
}

/**
 * For each segment the buffers that leave with it: those it releases and, with the last, all travelling ones
 * that nobody released. Every travelling buffer is in exactly one list.
 */
export function departures(plan: SequencePlan): readonly (readonly number[])[] {
  const released = new Set(plan.segments.flatMap((segment) => segment.release));
  const rest = plan.buffers.flatMap(({ kind }, i) => (kind === 'travelling' && !released.has(i) ? [i] : []));
  const last = plan.segments.length - 1;
  return plan.segments.map(({ release }, i) => (i === last ? [...release, ...rest] : [...release]));
}

/**
 * Checks a plan before anything runs.
 * @param edges the programs' inputs and outputs
 * @throws BufferError naming the segment and the value: a slot outside its buffer or not aligned to its
 *   element, outputs that overlap each other or an input of the same segment, a buffer used after it was released
 */
export function checkSequence(
  plan: SequencePlan,
  edges: (program: ProgramId) => ProgramEdges | undefined,
): void {
  if (plan.segments.length === 0) throw new BufferError('a sequence needs at least one segment');
  const gone = new Set<number>();
  plan.segments.forEach((segment, index) => {
    const program = edges(segment.program);
    if (!program)
      throw new BufferError(`segment ${index} names program ${segment.program}, which does not exist`);
    const inputs = regions(plan, segment.inputs, program.inputs, `input of segment ${index}`, gone);
    const outputs = regions(plan, segment.outputs, program.outputs, `output of segment ${index}`, gone);
    checkOverlap(inputs, outputs, index);
    for (const buffer of segment.release) {
      if (plan.buffers[buffer]?.kind !== 'travelling') {
        throw new BufferError(`segment ${index} releases buffer ${buffer}, which is not a travelling one`);
      }
      if (gone.has(buffer)) throw new BufferError(`segment ${index} releases buffer ${buffer} a second time`);
      gone.add(buffer);
    }
  });
}

/** Places for all values one after the other in buffer 0, each where views of any element type may begin. */
export function placeInOne(specs: readonly ValueSpec[]): {
  readonly bytes: Bytes;
  readonly slots: readonly Slot[];
} {
  let bytes = 0;
  const slots = specs.map((spec): Slot => {
    const byteOffset = bytes;
    bytes += Math.ceil(byteLengthOf(spec) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    return { buffer: 0, byteOffset };
  });
  return { bytes, slots };
}

/** The typed arrays of one segment's values in the given buffers. */
export function viewsOf(
  slots: readonly Slot[],
  specs: readonly ValueSpec[],
  buffers: readonly (ArrayBuffer | undefined)[],
): TensorData[] {
  return slots.map(({ buffer, byteOffset }, i) => {
    const spec = specs[i]!;
    return dataFromBytes(spec.dtype, new Uint8Array(buffers[buffer]!, byteOffset, byteLengthOf(spec)));
  });
}

interface Region {
  readonly name: string;
  readonly buffer: number;
  readonly start: number;
  readonly end: number;
  readonly written: boolean;
}

function regions(
  plan: SequencePlan,
  slots: readonly Slot[],
  specs: readonly ValueSpec[],
  role: string,
  gone: ReadonlySet<number>,
): Region[] {
  if (slots.length !== specs.length) {
    throw new BufferError(`${slots.length} slots for ${specs.length} values: each ${role} needs one`);
  }
  return slots.map(({ buffer, byteOffset }, i) => {
    const spec = specs[i]!;
    const what = `${role} "${spec.name}"`;
    const end = byteOffset + byteLengthOf(spec);
    const owner = plan.buffers[buffer];
    if (!owner) throw new BufferError(`${what} names buffer ${buffer}, which does not exist`);
    if (byteOffset < 0 || end > owner.bytes) {
      throw new BufferError(
        `${what} takes bytes ${byteOffset} to ${end} of buffer ${buffer}, which has ${owner.bytes}`,
      );
    }
    if (byteOffset % bytesPerElement(spec.dtype) !== 0) {
      throw new BufferError(`${what} starts at byte ${byteOffset}, which is not aligned to ${spec.dtype}`);
    }
    if (gone.has(buffer))
      throw new BufferError(`${what} lies in buffer ${buffer}, which was released before`);
    return { name: spec.name, buffer, start: byteOffset, end, written: role.startsWith('output') };
  });
}

/** Inputs may share memory with each other; nothing may share with an output. */
function checkOverlap(inputs: readonly Region[], outputs: readonly Region[], segment: number): void {
  const sorted = [...inputs, ...outputs]
    .filter(({ start, end }) => end > start)
    .sort((a, b) => a.buffer - b.buffer || a.start - b.start);
  // reaching: of the regions so far in this buffer, the one that ends last, and the output that ends last
  let reaching: Region | undefined;
  let reachingOutput: Region | undefined;
  for (const region of sorted) {
    if (reaching?.buffer !== region.buffer) reaching = reachingOutput = undefined;
    const other = region.written ? reaching : reachingOutput;
    if (other && other.end > region.start) {
      throw new BufferError(
        `segment ${segment}: "${region.name}" and "${other.name}" overlap in buffer ${region.buffer}`,
      );
    }
    if (!reaching || region.end > reaching.end) reaching = region;
    if (region.written && (!reachingOutput || region.end > reachingOutput.end)) reachingOutput = region;
  }
}
