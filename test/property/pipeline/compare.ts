import type { Random } from '../../../base/index.js';
import {
  buildEvaluationGraph,
  buildEvaluationStages,
  buildStages,
  buildTrainingGraph,
  evaluate,
  LOSS_SCALE,
  type EvaluationStage,
  type EvaluationStageOptions,
  type Graph,
  type Reference,
  type StageGraphs,
  type StageOptions,
} from '../../../graph/index.js';
import { relative, valuesFor } from './fixtures.js';

/** Up to rounding. */
const CLOSE = 1e-6;

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
    for (const graph of stage.backward) if (graph) collect(stage, run(i, graph));
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

/** Inputs of later programs that the stage does not say it leaves for them. */
function unsaid({ backward, kept, reread, running, receivesGradients }: StageGraphs): string[] {
  const said = new Set([
    LOSS_SCALE,
    ...running,
    ...reread,
    ...kept.map(({ value }) => value),
    ...receivesGradients.map(({ at }) => at),
  ]);
  return backward
    .flatMap((graph) => graph?.inputs ?? [])
    .filter((input) => !said.has(input))
    .map((input) => `a backward program reads ${input} besides`);
}

/** Where the stages of a model differ from the model in one piece, in a training step on random values. */
export function compareTraining(graph: Graph, options: StageOptions, random: Random): string[] {
  const { stages: _, recompute: __, splitBackward: ___, fused, ...uncut } = options;
  const whole = buildTrainingGraph(graph, uncut);
  const given = valuesFor(graph, whole, random);
  const expected = evaluate(whole.graph, given);
  const found = buildStages(graph, options);
  const problems = found.flatMap((stage, i) => [...unsaid(stage), ...(fused?.[i] ? notOne(stage) : [])]);
  const run = runStages(found, given);
  if (!(Math.abs(run.loss - expected.get(whole.loss)!.data[0]!) < CLOSE)) problems.push(`loss ${run.loss}`);
  const compare = (what: string, mine: Reference['data'] | undefined, output: string) => {
    const error = mine ? relative(mine, expected.get(output)!.data) : 1;
    if (!(error < CLOSE)) problems.push(`${what} is off by ${error}`);
  };
  for (const [parameter, output] of whole.gradients) compare(parameter, run.gradients.get(parameter), output);
  for (const parameter of run.gradients.keys())
    if (!whole.gradients.has(parameter)) problems.push(`${parameter} has a gradient`);
  for (const { mean, variance } of whole.statistics) {
    for (const { buffer, output } of [mean, variance]) compare(buffer, run.statistics.get(buffer), output);
  }
  const masks = found.flatMap(({ dropout }) => dropout.map(({ input }) => input)).sort();
  const all = whole.dropout.map(({ input }) => input).sort();
  if (masks.join() !== all.join()) problems.push(`masks ${masks.join()}, uncut ${all.join()}`);
  return problems;
}

/** Runs all stages one after the other, each with what it says it reads. */
function predict(
  stages: readonly EvaluationStage[],
  given: ReadonlyMap<string, Reference>,
): { loss: number; output: Reference['data'] } {
  let wire = new Map<string, Reference>();
  let found: { loss: number; output: Reference['data'] } = { loss: NaN, output: new Float64Array(0) };
  for (const [i, { graph, receives, sends, loss, output }] of stages.entries()) {
    const received = new Map(receives.map(({ value, at }) => [at, wire.get(value)]));
    const results = evaluate(
      graph,
      new Map(
        [...graph.inputs, ...graph.parameters.keys()].map((name) => {
          const value = received.has(name) ? received.get(name) : given.get(name);
          if (!value) throw new Error(`stage ${i} reads "${name}", which nobody gives`);
          return [name, value];
        }),
      ),
    );
    wire = new Map(sends.map(({ value, at }) => [value, results.get(at)!]));
    if (loss !== undefined) found = { loss: results.get(loss)!.data[0]!, output: results.get(output!)!.data };
  }
  return found;
}

/** Likewise of a prediction. */
export function compareEvaluation(graph: Graph, options: EvaluationStageOptions, random: Random): string[] {
  const { stages: _, ...uncut } = options;
  const whole = buildEvaluationGraph(graph, uncut);
  const given = valuesFor(graph, whole, random);
  const expected = evaluate(whole.graph, given);
  const found = buildEvaluationStages(graph, options);
  const run = predict(found, given);
  const problems: string[] = [];
  if (!(Math.abs(run.loss - expected.get(whole.loss)!.data[0]!) < CLOSE)) problems.push(`loss ${run.loss}`);
  const error = relative(run.output, expected.get(whole.output)!.data);
  if (!(error < CLOSE)) problems.push(`the output is off by ${error}`);
  const running = found.flatMap((stage) => stage.running).sort();
  const all = [...whole.running].sort();
  if (running.join() !== all.join()) problems.push(`reads ${running.join()}, uncut ${all.join()}`);
  return problems;
}
