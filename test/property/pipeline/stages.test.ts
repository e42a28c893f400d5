import t from 'tap';
import { Random } from '../../../base/index.js';
import {
  buildStages,
  buildTrainingGraph,
  evaluate,
  type Reference,
  type StageGraphs,
  type StageOptions,
} from '../../../graph/index.js';
import { batchOf, cut, fixtures, load, randomCuts, relative, valuesFor } from './fixtures.js';

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
  const collect = (stage: StageGraphs, results: ReadonlyMap<string, Reference>) => {
    for (const { value, at } of stage.sendsGradients) {
      if (results.has(at)) wire.set(`d ${value}`, results.get(at)!);
    }
    for (const [parameter, at] of stage.gradients) {
      const found = results.get(at)?.data;
      if (!found) continue;
      const sum = gradients.get(parameter);
      gradients.set(parameter, sum ? sum.map((x, j) => x + found[j]!) : found);
    }
  };
  stages.forEach((stage, i) => {
    for (const { value, at } of stage.receives) held[i]!.set(at, wire.get(value)!);
    const results = run(i, stage.forward);
    collect(stage, results);
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
      collect(stage, results);
    }
  }
  return { loss, gradients, statistics };
}

/** What a fused stage leaves to a second program. */
function notOne({ backward, kept, reread }: StageGraphs): string[] {
  return [
    ...backward.filter((graph) => graph !== undefined).map(({ name }) => `backward program ${name}`),
    ...kept.map(({ value }) => `keeps ${value}`),
    ...reread.map((value) => `rereads ${value}`),
  ];
}

function check(name: string, stages: number, options: Partial<StageOptions>, seed: number): string[] {
  const { graph, loss } = load(name);
  const random = new Random(seed);
  const batch = batchOf(name);
  const whole = buildTrainingGraph(graph, { batch, loss });
  const given = valuesFor(graph, whole, random);
  const expected = evaluate(whole.graph, given);

  const cuts = randomCuts(graph, batch, stages, random);
  const found = buildStages(graph, {
    batch,
    loss,
    stages: cut(graph, cuts),
    ...options,
    recompute: Array.from({ length: stages }, () => options.recompute?.[0] ?? false),
  });
  const run = runStages(found, given);
  const problems = found.flatMap((stage, i) => (options.fused?.[i] ? notOne(stage) : []));
  const label = `${name}, ${stages} stages cut at ${cuts.join()}`;
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

for (const name of fixtures) {
  t.test(`${name} in stages computes what it computes whole`, async (t) => {
    const seed = 7 + fixtures.indexOf(name);
    t.strictSame(check(name, 2, {}, seed), [], 'two stages');
    t.strictSame(check(name, 4, { splitBackward: true }, seed + 1), [], 'four, backward in halves');
    t.strictSame(check(name, 3, { recompute: [true] }, seed + 2), [], 'three, recomputing');
    t.strictSame(check(name, 3, { recompute: [true], splitBackward: true }, seed + 3), [], 'both');
    t.strictSame(
      check(name, 3, { fused: [false, false, true] }, seed + 4),
      [],
      'three, the last in one program',
    );
    t.strictSame(check(name, 1, { fused: [true], splitBackward: true }, seed + 5), [], 'one program');
  });
}
