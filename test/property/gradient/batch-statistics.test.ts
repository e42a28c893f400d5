import fc from 'fast-check';
import t from 'tap';
import { attribute, buildTrainingGraph, tensorOf, type Graph } from '../../../graph/index.js';
import { createEngine } from '../../../worker/engine/index.js';
import { LocalTrainer } from '../../../worker/gradcheck/index.js';

/** x [N, C, ...] normalized and compared with zeros. */
function normalizing(shape: readonly number[], momentum: number): Graph {
  const channels = shape[1]!;
  const perChannel = (value: (c: number) => number) =>
    tensorOf(
      'float32',
      [channels],
      Array.from({ length: channels }, (_, c) => value(c)),
    );
  return {
    name: 'normalizing',
    inputs: [{ name: 'x', dtype: 'float32', shape: ['N', ...shape.slice(1)] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: ['N', ...shape.slice(1)] }],
    nodes: [
      {
        name: 'bn',
        operator: 'BatchNormalization',
        domain: '',
        inputs: ['x', 'scale', 'bias', 'mean', 'variance'],
        outputs: ['y'],
        attributes: { training_mode: attribute.int(1), momentum: attribute.float(momentum) },
      },
    ],
    parameters: new Map([
      ['scale', perChannel(() => 1)],
      ['bias', perChannel(() => 0)],
    ]),
    constants: new Map([
      ['mean', perChannel((c) => c - 1)],
      ['variance', perChannel((c) => 1 + c / 2)],
    ]),
  };
}

/** Mean and population variance of each channel, in float64. */
function moments(x: Float32Array, [batch, channels, ...space]: readonly number[]) {
  const area = space.reduce((product, dim) => product * dim, 1);
  const of = (c: number) =>
    Array.from({ length: batch! }, (_, n) => [
      ...x.subarray((n * channels! + c) * area, (n * channels! + c + 1) * area),
    ]).flat();
  return Array.from({ length: channels! }, (_, c) => {
    const values = of(c);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    return { mean, variance, count: values.length };
  });
}

const cases = fc.record({
  shape: fc
    .tuple(fc.integer({ min: 2, max: 5 }), fc.integer({ min: 1, max: 4 }))
    .chain(([n, c]) =>
      fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }).map((space) => [n, c, ...space]),
    ),
  momentum: fc.constantFrom(0, 0.5, 0.75, 1),
  offset: fc.constantFrom(0, -3, 100),
  seed: fc.integer({ min: 0, max: 1000 }),
});

t.test('statistics of the batch, and what is folded in, are those of float64', async () => {
  const engine = await createEngine('onnxruntime', { threads: 1 });
  await fc.assert(
    fc.asyncProperty(cases, async ({ shape, momentum, offset, seed }) => {
      const size = shape.reduce((product, dim) => product * dim, 1);
      const x = Float32Array.from({ length: size }, (_, i) => offset + Math.sin(seed + 1.3 * i * i));
      const graph = normalizing(shape, momentum);
      const training = buildTrainingGraph(graph, { loss: 'mse', shapes: { x: shape } });
      const trainer = await LocalTrainer.create(engine, training, graph, { kind: 'sgd', lr: 0.1 });
      try {
        trainer.set('x', x);
        trainer.set(training.target.name, new Float32Array(size));
        await trainer.run();
        trainer.update(1);
        const near = (actual: number, wanted: number, scale: number) =>
          Math.abs(actual - wanted) <= 1e-5 * Math.max(Math.abs(wanted), scale);
        return moments(x, shape).every(({ mean, variance, count }, c) => {
          const running = (start: number, batch: number) => momentum * start + (1 - momentum) * batch;
          const unbiased = (variance * count) / (count - 1);
          return (
            training.statistics[0]!.count === count &&
            near(trainer.statistics.of('mean')[c]!, running(c - 1, mean), 1 + Math.abs(offset)) &&
            near(trainer.statistics.of('variance')[c]!, running(1 + c / 2, unbiased), 1)
          );
        });
      } finally {
        await trainer.dispose();
      }
    }),
    { numRuns: 60 },
  );
});
