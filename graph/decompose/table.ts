import type { NodeFormula } from '../formula/index.js';

/**
 * Writes a node out in smaller operators and returns its outputs in their order, each of exactly the type that the
 * operator's definition infers; an output without a name may be ''.
 */
export type Decomposition = (d: NodeFormula) => readonly string[];

/** Decompositions by operator, of one domain. */
export type DecompositionTable = Readonly<Record<string, Decomposition>>;
