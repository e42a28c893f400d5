import t from 'tap';
import { Random } from '../../../base/index.js';
import { buildEvaluationStages, buildStages, sampleAxis, type Edge } from '../../../graph/index.js';
import { cut, fixtures, load, randomCuts } from './fixtures.js';

/** Edges of all stages, by what they carry. */
function edgesOf(stages: readonly { readonly receives: readonly Edge[] }[]): Map<string, Edge> {
  return new Map(stages.flatMap(({ receives }) => receives.map((edge) => [edge.value, edge] as const)));
}

for (const name of fixtures.filter((each) => each !== 'lstm')) {
  t.test(`${name}: everything that crosses a cut has its samples on one axis, or none`, async (t) => {
    const { graph, loss } = load(name);
    const random = new Random(5 + fixtures.indexOf(name));
    const stages = cut(graph, randomCuts(graph, 2, 6, random));
    for (const build of [buildStages, buildEvaluationStages]) {
      const [two, three] = [2, 3].map((batch) => edgesOf(build(graph, { batch, loss, stages })));
      t.strictSame([...two!.keys()], [...three!.keys()], 'the same values cross');
      for (const [value, { type }] of two!) {
        const found = sampleAxis(value, type, 2, three!.get(value)!.type, 3);
        if (found) t.equal(type.shape[found.axis], 2 * found.rows);
      }
    }
  });
}
