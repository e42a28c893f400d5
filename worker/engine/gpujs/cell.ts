import type { Node } from '../../../graph/index.js';
import type { Body } from './body.js';
import type { KernelContext } from './kernel.js';

/** Where the cell that is computed reads: its own place, or a place that is written into the body. */
export type Place = 'cell' | ((body: Body, earlier: readonly string[]) => string);

export interface Read {
  readonly value: string;
  readonly place: Place;
}

/**
 * A value whose cells each follow from a few cells of others: what most operators are, and what can be joined with
 * its like into one launch.
 */
export interface CellValue {
  readonly node: Node;
  readonly output: string;
  readonly size: number;
  readonly reads: readonly Read[];
  /** Whether it has the one value read as it is: then whoever reads it may read that instead. */
  readonly copies?: true;
  /** The expression of a cell, from the names of what was read. */
  write(operands: readonly string[], body: Body): string;
}

export type CellRule = (node: Node, context: KernelContext) => readonly CellValue[];
export type CellRules = Readonly<Record<string, CellRule>>;
