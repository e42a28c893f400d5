import type { Graph, Node, TypedGraph } from '../ir/graph.js';
import type { Tensor } from '../ir/tensor.js';
import { StageError } from './errors.js';
import { isFromConstants, valuesFromConstants } from './constant-values.js';

/** A bound forward pass cut into stages: who makes what, and what goes over each boundary. */
export interface Division {
  /** Nodes of each stage, in the graph's order. What depends on constants only is computed wherever it is used. */
  readonly nodes: readonly (readonly Node[])[];
  /**
   * `crossing[b]`: values that stage b or an earlier one makes and a later one uses, in the order in which they are
   * made. A value that several boundaries lie between is passed on by every stage in between. The same for every
   * number of samples.
   */
  readonly crossing: readonly (readonly string[])[];
}

/** A model and how it is cut. */
export interface Cutting {
  readonly model: Pick<Graph, 'nodes'>;
  /** Names of the model's nodes, stage by stage; nodes that binding has computed away may be missing. */
  readonly stages: readonly (readonly string[])[];
  /** Running statistics of the training. */
  readonly state: ReadonlyMap<string, Tensor>;
}

/**
 * Divides a bound graph, without dead nodes, by the names of the nodes that it was bound from. A node that binding
 * has written (a loop's body) and that no stage names is in the first stage that has what it needs.
 * @throws StageError where a node is in no stage or in two, a stage needs something of a later one, or nodes of
 *   different stages share running statistics
 */
export function divide(bound: TypedGraph, { model, stages, state }: Cutting): Division {
  if (stages.length === 0) throw new StageError('a model is cut into one stage or more, not into none');
  const stageNamed = stagesByName(stages);
  const ownNames = new Set(model.nodes.map(({ name }) => name));
  const fromConstants = valuesFromConstants(bound);
  const nodes: Node[][] = stages.map(() => []);
  const made = new Map<string, number>();
  const lastUse = new Map<string, number>();
  for (const node of bound.nodes) {
    const named = stageNamed.get(node.name);
    if (named === undefined && ownNames.has(node.name))
      throw new StageError(`node "${node.name}" (${node.operator}) is in no stage`);
    if (isFromConstants(node, fromConstants)) continue;
    const stage = named ?? Math.max(0, ...node.inputs.map((input) => made.get(input) ?? 0));
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
  const output = bound.outputs[0]!;
  const last = stages.length - 1;
  if (made.has(output)) lastUse.set(output, last); // the loss belongs to the last stage
  checkState(nodes, state);
  const crossing = Array.from({ length: last }, (_, boundary) =>
    [...made]
      .filter(([value, from]) => from <= boundary && (lastUse.get(value) ?? -1) > boundary)
      .map(([v]) => v),
  );
  return {
    nodes: nodes.map((own, stage) =>
      withConstants(bound, own, stage === last ? [output] : [], fromConstants),
    ),
    crossing,
  };
}

function stagesByName(stages: readonly (readonly string[])[]): ReadonlyMap<string, number> {
  const stageNamed = new Map<string, number>();
  stages.forEach((names, stage) => {
    for (const name of names) {
      const other = stageNamed.get(name);
      if (other !== undefined)
        throw new StageError(`node "${name}" is in stage ${other} and in stage ${stage}`);
      stageNamed.set(name, stage);
    }
  });
  return stageNamed;
}

/** Who moves a running statistic has to hold it alone. */
function checkState(nodes: readonly (readonly Node[])[], state: ReadonlyMap<string, Tensor>): void {
  const readers = new Map<string, { readonly node: string; readonly stage: number }>();
  nodes.forEach((own, stage) => {
    for (const { name, inputs } of own) {
      for (const statistic of inputs.filter((each) => state.has(each))) {
        const first = readers.get(statistic);
        if (!first) readers.set(statistic, { node: name, stage });
        else if (first.stage !== stage) {
          throw new StageError(
            `nodes "${first.node}" of stage ${first.stage} and "${name}" of stage ${stage} share the running ` +
              `statistic "${statistic}"; they have to be in one stage`,
          );
        }
      }
    }
  });
}

/** A stage's nodes with those that compute from constants what they, or `outputs`, need. */
function withConstants(
  bound: TypedGraph,
  own: readonly Node[],
  outputs: readonly string[],
  fromConstants: ReadonlySet<string>,
): readonly Node[] {
  if (fromConstants.size === 0) return own;
  const needed = new Set([...outputs, ...own.flatMap(({ inputs }) => inputs)]);
  const chosen = new Set(own);
  for (const node of bound.nodes.toReversed()) {
    if (chosen.has(node) || !isFromConstants(node, fromConstants)) continue;
    if (!node.outputs.some((output) => needed.has(output))) continue;
    chosen.add(node);
    for (const input of node.inputs) needed.add(input);
  }
  return bound.nodes.filter((node) => chosen.has(node));
}
