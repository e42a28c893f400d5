import t from 'tap';
import { Random } from '../../../base/index.js';
import type { StageOptions } from '../../../graph/index.js';
import { compareTraining } from './compare.js';
import { batchOf, cut, fixtures, load, randomCuts } from './fixtures.js';

function check(name: string, stages: number, options: Partial<StageOptions>, seed: number): string[] {
  const { graph, loss } = load(name);
  const random = new Random(seed);
  const batch = batchOf(name);
  const cuts = randomCuts(graph, batch, stages, random);
  const recompute = Array.from({ length: stages }, () => options.recompute?.[0] ?? false);
  const chosen = { batch, loss, stages: cut(graph, cuts), ...options, recompute };
  return compareTraining(graph, chosen, random).map((problem) => `cut at ${cuts.join()}: ${problem}`);
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
