import t from 'tap';
import { Random } from '../../../base/index.js';
import { compareEvaluation } from './compare.js';
import { batchOf, cut, fixtures, load, randomCuts } from './fixtures.js';

function check(name: string, stages: number, seed: number): string[] {
  const { graph, loss } = load(name);
  const random = new Random(seed);
  const batch = batchOf(name);
  const cuts = randomCuts(graph, batch, stages, random);
  const problems = compareEvaluation(graph, { batch, loss, stages: cut(graph, cuts) }, random);
  return problems.map((problem) => `cut at ${cuts.join()}: ${problem}`);
}

for (const name of fixtures) {
  t.test(`${name} in stages predicts what it predicts whole`, async (t) => {
    const seed = 11 + fixtures.indexOf(name);
    t.strictSame(check(name, 1, seed), [], 'one stage');
    t.strictSame(check(name, 2, seed + 1), [], 'two stages');
    t.strictSame(check(name, 5, seed + 2), [], 'five stages');
  });
}
