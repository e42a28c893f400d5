import fc from 'fast-check';
import t from 'tap';
import {
  buildTrainingGraph,
  evaluate,
  GraphBuilder,
  LOSS_SCALE,
  sizeOf,
  standardOperators,
  toReference,
  type Reference,
  type Tensor,
  type TypedGraph,
} from '../../../graph/index.js';
import { largeValue, splitLarge, UnsplittableError, type SplitEdge } from '../../../graph/passes/index.js';
import { loadFixture, valuesOf } from '../../integration/gradient/fixtures.js';
import { isTried, runsOf } from '../trial-runs.js';
import { ALL_TRIALS } from './all-trials.js';
import { Draw, type Trial } from './draw.js';
import { distance } from './onnxruntime.js';

/** What a split graph makes of whole values, as whole values. */
function evaluateSplit(
  whole: TypedGraph,
  limitBytes: number,
  values: ReadonlyMap<string, Reference>,
): ReadonlyMap<string, Reference> {
  const { graph, inputs, outputs } = splitLarge(whole, limitBytes);
  const over = largeValue(graph, limitBytes);
  if (over !== undefined) throw new Error(`"${over}" is larger than ${limitBytes} bytes`);
  const fed = new Map(
    inputs.flatMap(({ name, pieces }) => pieces.map((piece) => [piece.name, cut(values.get(name)!, piece)])),
  );
  const results = evaluate(graph, fed);
  return new Map(outputs.map((edge) => [edge.name, joined(edge, results)]));
}

function cut({ dtype, data }: Reference, { start, shape }: SplitEdge['pieces'][number]): Reference {
  return { dtype, shape, data: data.slice(start, start + sizeOf(shape)) };
}

function joined({ name, type, pieces }: SplitEdge, results: ReadonlyMap<string, Reference>): Reference {
  const data = new Float64Array(sizeOf(type.shape)).fill(NaN);
  let end = 0;
  for (const piece of pieces) {
    if (piece.start !== end) throw new Error(`"${name}" goes on at ${piece.start}, not at ${end}`);
    data.set(results.get(piece.name)!.data, end);
    end += sizeOf(piece.shape);
  }
  return { ...type, data };
}

function compare(whole: TypedGraph, limitBytes: number, values: ReadonlyMap<string, Reference>): void {
  const wanted = evaluate(whole, values);
  for (const [name, found] of evaluateSplit(whole, limitBytes, values)) {
    const error = distance(found, wanted.get(name)!);
    if (!(error < 1e-12)) throw new Error(`"${name}" with at most ${limitBytes} bytes a value: ${error}`);
  }
}

/** The limit that each case has been split to: a few times smaller than its largest values. */
const CASES: Readonly<Record<string, number>> = {
  mlp: 8192,
  lenet: 24_576,
  gpt: 4096,
  'gpt-tied': 4096,
  tabular: 512,
  'text-classifier': 8192,
  autoencoder: 8192,
};

for (const [name, limitBytes] of Object.entries(CASES)) {
  t.test(`${name} in pieces of ${limitBytes} bytes trains alike`, async (t) => {
    const fixture = await loadFixture(name);
    const { graph, loss, inputs, tensors } = fixture;
    const shapes = Object.fromEntries(inputs.map((input) => [input, tensors.get(input)!.shape]));
    const targetShape = tensors.get('target')!.shape;
    const training = buildTrainingGraph(graph, { loss, shapes, targetShape, includeOutput: true });
    t.ok(largeValue(training.graph, limitBytes), 'there is something to split');
    const values = valuesOf(fixture, training.target.name);
    values.set(LOSS_SCALE, { dtype: 'float32', shape: [], data: Float64Array.of(1) });
    compare(training.graph, limitBytes, values);
  });
}

/** One node under limits from a few elements on, which axes and shapes fit: right, or refused by name. @returns how often it was right */
function tryNode(key: string, trial: Trial): number {
  const operator = key.slice(key.lastIndexOf('.') + 1);
  const domain = key.slice(0, Math.max(0, key.lastIndexOf('.')));
  const builder = new GraphBuilder(standardOperators);
  const feeds = new Map<string, Tensor>();
  const inputs = trial.inputs.map((tensor, i) => {
    if (!tensor) return '';
    if (trial.known?.includes(i)) return builder.constant(tensor);
    feeds.set(`x${i}`, tensor);
    return builder.input(`x${i}`, tensor);
  });
  const made = builder.add(operator, inputs, trial.attributes, { domain, outputs: trial.outputs ?? 1 });
  const typed = builder.build(
    'trial',
    made.filter((name) => name !== ''),
  );
  const values = new Map([...feeds].map(([name, tensor]) => [name, toReference(tensor)]));
  let right = 0;
  for (const elements of [8, 12, 16]) {
    const limitBytes = 8 * elements;
    if (largeValue(typed, limitBytes) === undefined) continue;
    try {
      compare(typed, limitBytes, values);
      right++;
    } catch (error) {
      if (!(error instanceof UnsplittableError)) throw error;
    }
  }
  return right;
}

/** Operators that are computed in parts down to a few elements. */
const FINE = [
  'Add',
  'Where',
  'MatMul',
  'Gemm',
  'Transpose',
  'Reshape',
  'Gather',
  'Concat',
  'Split',
  'Slice',
  'Expand',
  'ReduceSum',
  'ReduceMean',
  'ReduceMax',
  'Cast',
  'GatherElements',
];
const RUNS = runsOf(6);

for (const [key, make] of Object.entries(ALL_TRIALS)) {
  if (!isTried(key)) continue;
  t.test(`${key} in pieces`, (t) => {
    const property = fc.property(fc.nat(), (seed) => {
      tryNode(key, make(new Draw(seed)));
    });
    fc.assert(property, { numRuns: FINE.includes(key) ? 3 * RUNS : RUNS, includeErrorInReport: true });
    // Random trials may all be too small to split; these are the same every time, so that the check above is never an empty one.
    if (FINE.includes(key)) {
      const seeds = Array.from({ length: 40 }, (_, seed) => seed);
      t.ok(
        seeds.some((seed) => tryNode(key, make(new Draw(seed))) > 0),
        'some were split',
      );
    }
    t.end();
  });
}
