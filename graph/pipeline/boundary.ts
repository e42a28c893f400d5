import { InvariantError } from '../../base/index.js';
import type { Node, TypedGraph } from '../ir/graph.js';
import { StageError } from './errors.js';

/** A bound forward pass cut into stages: who makes what, and what goes over each boundary. */
export interface Division {
  /** Nodes of each stage, in the graph's order. */
  readonly nodes: readonly (readonly Node[])[];
  /**
   * `crossing[b]`: values that stage b or an earlier one makes and a later one uses, in the order in which they are
   * made. A value that several boundaries lie between is passed on by every stage in between.
   */
  readonly crossing: readonly (readonly string[])[];
}

/**
 * Divides a bound graph by the names of the nodes that it was bound from.
 * @param stages names of the model's nodes, stage by stage; nodes that binding has computed away may be missing
 * @throws StageError where a node is in no stage or in two, or a stage needs something of a later one
 */
export function divide(bound: TypedGraph, stages: readonly (readonly string[])[]): Division {
  const stageOfNode = new Map<string, number>();
  stages.forEach((names, stage) => {
    for (const name of names) {
      const other = stageOfNode.get(name);
      if (other !== undefined)
        throw new StageError(`node "${name}" is in stage ${other} and in stage ${stage}`);
      stageOfNode.set(name, stage);
    }
  });
  const count = stages.length;
  const nodes: Node[][] = stages.map(() => []);
  const made = new Map<string, number>();
  const lastUse = new Map<string, number>();
  for (const node of bound.nodes) {
    const stage = stageOfNode.get(node.name);
    if (stage === undefined) throw new StageError(`node "${node.name}" (${node.operator}) is in no stage`);
    for (const input of node.inputs) {
      const from = made.get(input);
      if (from === undefined) continue;
      if (from > stage) {
        throw new StageError(
          `node "${node.name}" of stage ${stage} needs "${input}", which stage ${from} makes; stages follow each other`,
        );
      }
      lastUse.set(input, Math.max(lastUse.get(input) ?? 0, stage));
    }
    for (const output of node.outputs) if (output !== '') made.set(output, stage);
    nodes[stage]!.push(node);
  }
  const [output] = bound.outputs;
  if (output === undefined) throw new InvariantError('a forward pass without an output');
  if (made.has(output)) lastUse.set(output, count - 1); // the loss belongs to the last stage
  const crossing = Array.from({ length: count - 1 }, (_, boundary) =>
    [...made]
      .filter(([value, from]) => from <= boundary && (lastUse.get(value) ?? -1) > boundary)
      .map(([v]) => v),
  );
  return { nodes, crossing };
}
