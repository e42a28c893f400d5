import t from 'tap';
import { WeightParts } from '../../../coordinator/launch/parts.js';
import type { RunPlan } from '../../../protocol/index.js';

/** Two pipeline ranks of two replicas each. */
const ranks: RunPlan['ranks'] = [0, 0, 1, 1].map((pipelineRank, rank) => ({
  device: `host/cpu:${rank}`,
  host: 'host',
  pipelineRank,
  samples: [2],
  budgetBytes: 100,
  accountedBytes: 50,
}));

t.test('all parts of a moment, in the order of the pipeline ranks, once the last has come', async (t) => {
  const parts = new WeightParts(ranks);
  t.strictSame(parts.missing('end'), ['host/cpu:0', 'host/cpu:2']);
  t.equal(parts.add(10, 2, 'b'), undefined);
  t.equal(parts.add(20, 2, 'd'), undefined, 'another checkpoint has begun');
  t.equal(parts.add(10, 1, 'x'), undefined, 'a replica of the first does not hand over');
  t.equal(parts.add(10, 2, 'b'), undefined, 'nor does saying it twice count');
  t.strictSame(parts.add(10, 0, 'a'), ['a', 'b']);
  t.strictSame(parts.add(20, 0, 'c'), ['c', 'd']);
  t.equal(parts.add('end', 0, ''), undefined);
  t.equal(parts.add('end', 2, 'f'), undefined);
  t.strictSame(parts.missing('end'), ['host/cpu:0']);
  t.strictSame(parts.add('end', 0, 'e'), ['e', 'f']);
});

t.test('one rank has all of it', async (t) => {
  t.strictSame(new WeightParts(ranks.slice(0, 2)).add(1, 0, 'a'), ['a']);
});
