import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { layerProfile } from '../../../coordinator/prepare/layers.js';
import { buildStages, byteLengthOf, readModel, type StageGraphs } from '../../../graph/index.js';
import { repositoryRoot } from '../../root.js';

const load = (name: string) =>
  readModel(readFileSync(join(repositoryRoot, 'test/fixtures/models', name, 'model.onnx'))).graph;

/** Comes through as it is. */
const fused = {
  activationBytes: { base: 0, perSample: 1000 },
  crossingBytes: { base: 0, perSample: 0 },
};

t.test('every node is in one unit, every parameter in the units that use it', async (t) => {
  const graph = load('gpt');
  const shapes = { inputs: new Map([['input', [16]]]), target: [16] };
  const { units, cuts, tied } = layerProfile(
    graph,
    shapes,
    'cross_entropy',
    [...graph.parameters.keys()],
    fused,
  );
  t.strictSame(
    units.flatMap(({ nodes }) => nodes),
    graph.nodes.map(({ name }) => name),
  );
  t.ok(units.length > 8, `${units.length} units`);
  t.equal(cuts.length, units.length - 1);
  t.ok(cuts.every((cut) => cut.activationBytesPerSample > 0));
  const bytes = new Map(units.flatMap(({ parameters }) => parameters).map((each) => [each.name, each.bytes]));
  for (const [name, type] of graph.parameters) t.equal(bytes.get(name), byteLengthOf(type), name);
  t.strictSame(tied, []);
  const products = (of: 'forward' | 'backwardInput' | 'backwardWeight') =>
    units.reduce((sum, unit) => sum + unit[of].productFlops, 0);
  const ratio = (products('backwardInput') + products('backwardWeight')) / products('forward');
  t.ok(ratio > 1.8 && ratio < 2.3, `backward has ${ratio} times the products`);
});

t.test('a tied parameter is named with all its units', async (t) => {
  const graph = load('gpt-tied');
  const shapes = { inputs: new Map([['input', [16]]]), target: [16] };
  const { tied, units } = layerProfile(graph, shapes, 'cross_entropy', [...graph.parameters.keys()], fused);
  t.equal(tied.length, 1);
  t.strictSame(tied[0]!.units, [0, units.length - 1]);
});

t.test('what is not trained has no gradient to compute', async (t) => {
  const graph = load('lenet');
  const shapes = { inputs: new Map([['input', [1, 28, 28]]]), target: [] };
  const all = [...graph.parameters.keys()];
  const last = all.slice(-2);
  const whole = layerProfile(graph, shapes, 'cross_entropy', all, fused);
  const head = layerProfile(graph, shapes, 'cross_entropy', last, fused);
  const work = ({ units }: typeof whole) =>
    units.reduce((sum, unit) => sum + unit.backwardInput.productFlops, 0);
  t.ok(work(whole) > 0);
  t.equal(work(head), 0, 'nothing below the head is differentiated');
  t.ok(
    head.units
      .flatMap(({ parameters }) => parameters)
      .every(({ name, trained }) => trained === last.includes(name)),
  );
});

t.test('every unit says what a device has to be able to do for it', async (t) => {
  const graph = load('gpt');
  const shapes = { inputs: new Map([['input', [16]]]), target: [16] };
  const { units, examples } = layerProfile(
    graph,
    shapes,
    'cross_entropy',
    [...graph.parameters.keys()],
    fused,
  );
  const all = new Set(units.flatMap(({ operators }) => operators ?? []));
  t.ok(['MatMul', 'Softmax', 'LayerNormalization', 'LogSoftmax'].every((operator) => all.has(operator)));
  t.strictSame(Object.keys(examples ?? {}).sort(), [...all].sort());
  const table = units.find(({ parameters }) => parameters.some(({ name }) => name === 'te.weight'))!;
  const bytes = byteLengthOf(graph.parameters.get('te.weight')!);
  t.ok((table.largest?.fixed?.base ?? 0) < bytes, 'a table is read in pieces');
  const scores = units.find(({ operators }) => operators?.includes('Softmax'))!;
  t.equal(scores.largest!.growing, undefined, 'scores are computed row by row, if need be');
  t.ok(scores.largest!.fixed!.base >= 4 * 16, 'a row is whole');
});

for (const { name, input, target } of [
  { name: 'gpt', input: [16], target: [16] },
  { name: 'resnet', input: [3, 16, 16], target: [] },
]) {
  t.test(`${name}: what a stage keeps is what its units keep, every value once`, async (t) => {
    const graph = load(name);
    const parameters = [...graph.parameters.keys()];
    const inputs = new Map([['input', input]]);
    const { units } = layerProfile(graph, { inputs, target }, 'cross_entropy', parameters, fused);
    const middle = Math.floor(units.length / 2);
    const samples = 4;
    const keptBy = (splitBackward: boolean): readonly number[] =>
      buildStages(graph, {
        loss: 'cross_entropy',
        batch: samples,
        shapes: { input: [samples, ...input] },
        parameters,
        splitBackward,
        stages: [units.slice(0, middle), units.slice(middle)].map((some) =>
          some.flatMap(({ nodes }) => nodes),
        ),
      }).map((stage) => bytesKept(stage) / samples);
    const sum = (from: number, to: number, split: boolean) =>
      units
        .slice(from, to)
        .reduce(
          (bytes, unit) => bytes + unit.savedBytesPerSample + (split ? (unit.betweenBytesPerSample ?? 0) : 0),
          -units[from]!.rereadBytesPerSample,
        );
    for (const split of [false, true]) {
      const [first, second] = keptBy(split);
      for (const [counted, kept] of [
        [sum(0, middle, false), first!],
        [sum(middle, units.length, split), second!],
      ] as const) {
        const what = `${counted} counted, ${kept} kept, ${split ? 'split' : 'whole'}`;
        t.ok(counted >= 0.9 * kept, what);
        t.ok(counted <= 1.5 * kept, what);
      }
    }
  });
}

function bytesKept({ kept }: StageGraphs): number {
  return kept.reduce((sum, { type }) => sum + byteLengthOf(type), 0);
}
