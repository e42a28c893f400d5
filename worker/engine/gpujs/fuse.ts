import { Body, CELL } from './body.js';
import type { CellValue, Read } from './cell.js';
import type { Backend, Kernel } from './kernel.js';
import { literal } from './kernels/pointwise.js';

/**
 * Most values that one launch reads: WebGPU promises eight storage buffers a stage, and one of them is the output.
 */
export const MOST_INPUTS = 7;

/** Most values that one launch computes on the way to its own: what a compiler takes in reasonable time. */
const MOST_MEMBERS = 40;

/** What is computed in order: a value cell by cell, or what launches of another kind make. */
export type Step =
  | { readonly kind: 'cell'; readonly cell: CellValue }
  | { readonly kind: 'kernels'; readonly kernels: readonly Kernel[] };

export interface FuseOptions {
  readonly backend: Backend;
  /** Values that must be made, as somebody outside reads them. */
  readonly kept: ReadonlySet<string>;
  /** The one number that all elements of a value are, where that is known and can be written down. */
  literalOf(value: string): number | undefined;
}

/** Cells that are computed by one launch; the last is the value that it makes. */
interface Group {
  readonly members: CellValue[];
  readonly inputs: Set<string>;
}

/**
 * Joins values that are computed cell by cell into launches: a value becomes part of the launch of its reader where
 * all its readers are in there and read it at their own cell. Nothing is computed twice; a copy of other cells (a
 * transposed, sliced or repeated value) is not made at all where its readers can read those cells themselves.
 */
export function fuse(steps: readonly Step[], options: FuseOptions): readonly (Kernel | Group)[] {
  const read = live(readThroughCopies(steps), options.kept);
  const readers = readersOf(read);
  const groupOf = new Map<string, Group>();
  const launches: (Kernel | Group)[] = [];
  for (let at = read.length - 1; at >= 0; at--) {
    const step = read[at]!;
    if (step.kind === 'kernels') {
      launches.push(...step.kernels.toReversed());
      continue;
    }
    const { cell } = step;
    const uses = readers.get(cell.output) ?? [];
    const group = options.kept.has(cell.output) ? undefined : groupFor(cell, uses, groupOf, options);
    if (group) {
      group.members.unshift(cell);
      group.inputs.delete(cell.output);
      for (const value of inputsOf(cell, options)) group.inputs.add(value);
      groupOf.set(cell.output, group);
    } else {
      const alone: Group = { members: [cell], inputs: inputsOf(cell, options) };
      groupOf.set(cell.output, alone);
      launches.push(alone);
    }
  }
  return launches.reverse();
}

function inputsOf(cell: CellValue, options: FuseOptions): Set<string> {
  return new Set(
    cell.reads.map(({ value }) => value).filter((value) => options.literalOf(value) === undefined),
  );
}

/** The group in which all readers of `cell` are, where it can join. */
function groupFor(
  cell: CellValue,
  uses: readonly Use[],
  groupOf: ReadonlyMap<string, Group>,
  options: FuseOptions,
): Group | undefined {
  const [first] = uses;
  const group = first?.cell && groupOf.get(first.cell.output);
  if (!group || group.members.length >= MOST_MEMBERS) return undefined;
  const together = uses.every(
    (use) => use.atCell && use.cell !== undefined && groupOf.get(use.cell.output) === group,
  );
  if (!together || group.members.at(-1)!.size !== cell.size) return undefined;
  const inputs = new Set([...group.inputs, ...inputsOf(cell, options)]);
  inputs.delete(cell.output);
  return inputs.size <= MOST_INPUTS ? group : undefined;
}

interface Use {
  /** The reader, where it is a cell's value. */
  readonly cell?: CellValue;
  readonly atCell: boolean;
}

function readersOf(steps: readonly Step[]): Map<string, Use[]> {
  const readers = new Map<string, Use[]>();
  const add = (value: string, use: Use): void => {
    const uses = readers.get(value);
    if (uses) uses.push(use);
    else readers.set(value, [use]);
  };
  for (const step of steps) {
    if (step.kind === 'cell') {
      for (const { value, place } of step.cell.reads)
        add(value, { cell: step.cell, atCell: place === 'cell' });
    } else {
      for (const value of step.kernels.flatMap(({ inputs }) => inputs)) add(value, { atCell: false });
    }
  }
  return readers;
}

/** Reads of a copy at the own cell become reads of what it copies. Copies that nobody reads any more are left out. */
function readThroughCopies(steps: readonly Step[]): readonly Step[] {
  const copies = new Map<string, Read>();
  return steps.map((step) => {
    if (step.kind === 'kernels') return step;
    const through = (read: Read): Read => (read.place === 'cell' ? (copies.get(read.value) ?? read) : read);
    const cell = { ...step.cell, reads: step.cell.reads.map(through) };
    if (cell.copies) copies.set(cell.output, cell.reads[0]!);
    return { kind: 'cell', cell };
  });
}

/** The steps, and the launches of them, that somebody needs. */
function live(steps: readonly Step[], kept: ReadonlySet<string>): readonly Step[] {
  const wanted = new Set(kept);
  const needed: Step[] = [];
  for (const step of steps.toReversed()) {
    if (step.kind === 'cell') {
      if (!wanted.has(step.cell.output)) continue;
      for (const { value } of step.cell.reads) wanted.add(value);
      needed.push(step);
      continue;
    }
    const kernels: Kernel[] = [];
    for (const kernel of step.kernels.toReversed()) {
      if (!wanted.has(kernel.output)) continue;
      for (const value of kernel.inputs) wanted.add(value);
      kernels.unshift(kernel);
    }
    if (kernels.length > 0) needed.push({ ...step, kernels });
  }
  return needed.reverse();
}

/** The launch of a group. */
export function kernelOf({ members }: Group, options: FuseOptions): Kernel {
  const body = new Body(options.backend);
  const made = new Map<string, string>();
  let result = '';
  for (const cell of members) {
    const operands: string[] = [];
    for (const { value, place } of cell.reads) {
      const known = options.literalOf(value);
      const inside = place === 'cell' ? made.get(value) : undefined;
      if (known !== undefined) operands.push(literal(known));
      else operands.push(inside ?? body.load(value, place === 'cell' ? CELL : place(body, operands)));
    }
    result = body.let(cell.write(operands, body));
    made.set(cell.output, result);
  }
  const { output, size } = members.at(-1)!;
  return { source: body.source(result), inputs: body.inputs, output, extents: [size], constants: {} };
}

export type { Group };
