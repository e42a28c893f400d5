import t from 'tap';
import { Random } from '../../../base/index.js';
import {
  buildEvaluationGraph,
  buildEvaluationStages,
  evaluate,
  type EvaluationStage,
  type Reference,
} from '../../../graph/index.js';
import { batchOf, cut, fixtures, load, randomCuts, relative, valuesFor } from './fixtures.js';

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

function check(name: string, stages: number, seed: number): string[] {
  const { graph, loss } = load(name);
  const random = new Random(seed);
  const batch = batchOf(name);
  const whole = buildEvaluationGraph(graph, { batch, loss });
  const given = valuesFor(graph, whole, random);
  const expected = evaluate(whole.graph, given);
  const cuts = randomCuts(graph, batch, stages, random);
  const found = buildEvaluationStages(graph, { batch, loss, stages: cut(graph, cuts) });
  const run = predict(found, given);
  const problems: string[] = [];
  const label = `${name}, ${stages} stages cut at ${cuts.join()}`;
  if (Math.abs(run.loss - expected.get(whole.loss)!.data[0]!) > 1e-6)
    problems.push(`${label}: loss ${run.loss}`);
  const error = relative(run.output, expected.get(whole.output)!.data);
  if (!(error < 1e-6)) problems.push(`${label}: output is off by ${error}`);
  const running = new Set(found.flatMap((stage) => stage.running));
  const missing = [...running].filter((each) => !whole.running.includes(each));
  if (missing.length > 0 || running.size !== whole.running.length) {
    problems.push(`${label}: reads ${[...running].join()}, whole ${whole.running.join()}`);
  }
  return problems;
}

for (const name of fixtures) {
  t.test(`${name} in stages predicts what it predicts whole`, async (t) => {
    const seed = 11 + fixtures.indexOf(name);
    t.strictSame(check(name, 1, seed), [], 'one stage');
    t.strictSame(check(name, 2, seed + 1), [], 'two stages');
    t.strictSame(check(name, 5, seed + 2), [], 'five stages');
  });
}
