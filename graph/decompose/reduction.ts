import type { NodeFormula } from '../formula/index.js';
import type { DecompositionTable } from './table.js';

/** The reduction of the same axes, whatever way the node names them. */
function reduceSum(d: NodeFormula, x: string): string {
  return d.one('ReduceSum', [x, ...d.node.inputs.slice(1)], d.node.attributes);
}

/** Reductions in simpler ones. */
export const reduction: DecompositionTable = {
  ReduceLogSum: (d) => [d.log(reduceSum(d, d.x))],
};
