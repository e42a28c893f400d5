import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Random } from '../../../base/index.js';
import {
  bindGraph,
  buildStages,
  buildTrainingGraph,
  evaluate,
  LOSS_SCALE,
  readModel,
  sizeOf,
  toReference,
  type Graph,
  type LossKind,
  type Reference,
  type StageGraphs,
  type StageOptions,
  type Tensor,
  type TensorType,
} from '../../../graph/index.js';
import { repositoryRoot } from '../../root.js';

const CASES = join(repositoryRoot, 'test/fixtures/models');
/** Samples; lstm was exported for a fixed number. */
const batchOf = (name: string) => (name === 'lstm' ? 4 : 2);

interface Fixture {
  readonly graph: Graph;
  readonly loss: LossKind;
}

function load(name: string): Fixture {
  const { loss } = JSON.parse(readFileSync(join(CASES, name, 'case.json'), 'utf8')) as { loss: LossKind };
  return { graph: readModel(readFileSync(join(CASES, name, 'model.onnx'))).graph, loss };
}

/** Deterministic values for an input; ids are small. */
function fill({ dtype, shape }: TensorType, random: Random): Reference {
  const whole = dtype !== 'float32';
  const data = Float64Array.from({ length: sizeOf(shape) }, () =>
    whole ? random.below(2) : random.below(2000) / 1000 - 1,
  );
  return { dtype, shape, data };
}

/** Names of the nodes, cut where a bound graph's nodes are in `parts` runs. */
function cut(graph: Graph, at: readonly number[]): string[][] {
  const names = graph.nodes.map(({ name }) => name);
  const ends = [...at, names.length];
  return ends.map((end, i) => names.slice(i === 0 ? 0 : ends[i - 1], end));
}

/** Runs all stages one after the other, forwards and backwards, as ranks would. */
function runStages(
  stages: readonly StageGraphs[],
  given: ReadonlyMap<string, Reference>,
): { loss: number; gradients: Map<string, Float64Array>; statistics: Map<string, Float64Array> } {
  const wire = new Map<string, Reference>();
  const held = stages.map(() => new Map<string, Reference>());
  const gradients = new Map<string, Float64Array>();
  const statistics = new Map<string, Float64Array>();
  let loss = NaN;
  const run = (index: number, graph: StageGraphs['forward']) => {
    const results = evaluate(
      graph,
      new Map(
        [...graph.inputs, ...graph.parameters.keys()].map((name) => {
          const value = held[index]!.get(name) ?? given.get(name);
          if (!value) throw new Error(`stage ${index} reads "${name}", which nobody gives`);
          return [name, value];
        }),
      ),
    );
    for (const [name, value] of results) held[index]!.set(name, value);
    return results;
  };
  stages.forEach((stage, i) => {
    for (const { value, at } of stage.receives) held[i]!.set(at, wire.get(value)!);
    const results = run(i, stage.forward);
    for (const { value, at } of stage.sends) wire.set(value, results.get(at)!);
    if (stage.loss !== undefined) loss = results.get(stage.loss)!.data[0]!;
    for (const { mean, variance } of stage.statistics) {
      for (const { buffer, output } of [mean, variance]) statistics.set(buffer, results.get(output)!.data);
    }
    // only what is said to be kept may be used later
    const allowed = new Set([...stage.kept.map(({ value }) => value), ...stage.reread]);
    for (const name of held[i]!.keys()) if (!allowed.has(name)) held[i]!.delete(name);
  });
  for (let i = stages.length - 1; i >= 0; i--) {
    const stage = stages[i]!;
    for (const { value, at } of stage.receivesGradients) held[i]!.set(at, wire.get(`d ${value}`)!);
    for (const graph of stage.backward) {
      if (!graph) continue;
      const results = run(i, graph);
      for (const { value, at } of stage.sendsGradients) {
        if (results.has(at)) wire.set(`d ${value}`, results.get(at)!);
      }
      for (const [parameter, at] of stage.gradients) {
        const found = results.get(at)?.data;
        if (!found) continue;
        const sum = gradients.get(parameter);
        gradients.set(parameter, sum ? sum.map((x, j) => x + found[j]!) : found);
      }
    }
  }
  return { loss, gradients, statistics };
}

function relative(a: Float64Array, b: Float64Array): number {
  let [square, norm] = [0, 0];
  b.forEach((x, i) => {
    square += (a[i]! - x) ** 2;
    norm += x ** 2;
  });
  return Math.sqrt(square) / (Math.sqrt(norm) + 1e-12);
}

function check(name: string, stages: number, options: Partial<StageOptions>, seed: number): string[] {
  const { graph, loss } = load(name);
  const random = new Random(seed);
  const batch = batchOf(name);
  const whole = buildTrainingGraph(graph, { batch, loss });
  const given = new Map<string, Reference>();
  for (const input of whole.graph.inputs) given.set(input, fill(whole.graph.types.get(input)!, random));
  const scale = { dtype: 'float32' as const, shape: [], data: Float64Array.of(0.5) };
  given.set(LOSS_SCALE, scale);
  const state = new Map<string, Tensor>([...graph.parameters, ...graph.constants]);
  for (const [parameter, tensor] of graph.parameters) given.set(parameter, toReference(tensor));
  for (const buffer of whole.running) given.set(buffer, toReference(state.get(buffer)!));
  const expected = evaluate(whole.graph, given);

  const bound = bindGraph(graph, { batch });
  const kept = new Set(bound.nodes.map((node) => node.name));
  const places = graph.nodes.flatMap((node, i) => (i > 0 && kept.has(node.name) ? [i] : []));
  const at = new Set<number>();
  while (at.size < Math.min(stages - 1, places.length)) at.add(places[random.below(places.length)]!);
  const found = buildStages(graph, {
    batch,
    loss,
    stages: cut(
      graph,
      [...at].sort((a, b) => a - b),
    ),
    ...options,
    recompute: Array.from({ length: stages }, () => options.recompute?.[0] ?? false),
  });
  const run = runStages(found, given);
  const problems: string[] = [];
  const label = `${name}, ${stages} stages cut at ${[...at].join()}`;
  if (Math.abs(run.loss - expected.get(whole.loss)!.data[0]!) > 1e-6)
    problems.push(`${label}: loss ${run.loss}`);
  for (const [parameter, output] of whole.gradients) {
    const mine = run.gradients.get(parameter);
    const error = mine ? relative(mine, expected.get(output)!.data) : 1;
    if (error > 1e-6) problems.push(`${label}: ${parameter} is off by ${error}`);
  }
  for (const { mean, variance } of whole.statistics) {
    for (const { buffer, output } of [mean, variance]) {
      const error = relative(run.statistics.get(buffer)!, expected.get(output)!.data);
      if (error > 1e-6) problems.push(`${label}: ${buffer} is off by ${error}`);
    }
  }
  return problems;
}

const models = readdirSync(CASES);
for (const name of models) {
  t.test(`${name} in stages computes what it computes whole`, async (t) => {
    const seed = 7 + models.indexOf(name);
    t.strictSame(check(name, 2, {}, seed), [], 'two stages');
    t.strictSame(check(name, 4, { splitBackward: true }, seed + 1), [], 'four, backward in halves');
    t.strictSame(check(name, 3, { recompute: [true] }, seed + 2), [], 'three, recomputing');
    t.strictSame(check(name, 3, { recompute: [true], splitBackward: true }, seed + 3), [], 'both');
  });
}
