import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Random } from '../../../base/index.js';
import {
  bindGraph,
  LOSS_SCALE,
  readModel,
  sizeOf,
  toReference,
  type Graph,
  type LossKind,
  type Reference,
  type Tensor,
  type TensorType,
  type TypedGraph,
} from '../../../graph/index.js';
import { repositoryRoot } from '../../root.js';

const CASES = join(repositoryRoot, 'test/fixtures/models');
export const fixtures = readdirSync(CASES);

/** Samples; lstm was exported for a fixed number. */
export const batchOf = (name: string) => (name === 'lstm' ? 4 : 2);

interface Fixture {
  readonly graph: Graph;
  readonly loss: LossKind;
}

export function load(name: string): Fixture {
  const { loss } = JSON.parse(readFileSync(join(CASES, name, 'case.json'), 'utf8')) as { loss: LossKind };
  return { graph: readModel(readFileSync(join(CASES, name, 'model.onnx'))).graph, loss };
}

/** Deterministic values for an input; ids are small. */
export function fill({ dtype, shape }: TensorType, random: Random): Reference {
  const whole = dtype !== 'float32';
  const data = Float64Array.from({ length: sizeOf(shape) }, () =>
    whole ? random.below(2) : random.below(2000) / 1000 - 1,
  );
  return { dtype, shape, data };
}

/** Names of the nodes, cut where a bound graph's nodes are in `parts` runs. */
export function cut(graph: Graph, at: readonly number[]): string[][] {
  const names = graph.nodes.map(({ name }) => name);
  const ends = [...at, names.length];
  return ends.map((end, i) => names.slice(i === 0 ? 0 : ends[i - 1], end));
}

/** Where to cut a model into so many stages, or fewer: before nodes that binding keeps. */
export function randomCuts(graph: Graph, batch: number, stages: number, random: Random): readonly number[] {
  const kept = new Set(bindGraph(graph, { batch }).nodes.map((node) => node.name));
  const places = graph.nodes.flatMap((node, i) => (i > 0 && kept.has(node.name) ? [i] : []));
  const at = new Set<number>();
  while (at.size < Math.min(stages - 1, places.length)) at.add(places[random.below(places.length)]!);
  return [...at].sort((a, b) => a - b);
}

/** A value for everything that the uncut graph of a model is given. */
export function valuesFor(
  model: Graph,
  whole: { readonly graph: TypedGraph; readonly running: readonly string[] },
  random: Random,
): Map<string, Reference> {
  const { graph, running } = whole;
  const given = new Map(graph.inputs.map((input) => [input, fill(graph.types.get(input)!, random)]));
  given.set(LOSS_SCALE, { dtype: 'float32', shape: [], data: Float64Array.of(0.5) });
  const state = new Map<string, Tensor>([...model.parameters, ...model.constants]);
  for (const [parameter, tensor] of model.parameters) given.set(parameter, toReference(tensor));
  for (const buffer of running) given.set(buffer, toReference(state.get(buffer)!));
  return given;
}

/** The distance of two vectors over the length of the second. */
export function relative(a: Float64Array, b: Float64Array): number {
  let [square, norm] = [0, 0];
  b.forEach((x, i) => {
    square += (a[i]! - x) ** 2;
    norm += x ** 2;
  });
  return Math.sqrt(square) / (Math.sqrt(norm) + 1e-12);
}
