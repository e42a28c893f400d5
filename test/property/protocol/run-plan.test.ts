import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import t from 'tap';
import { decodeRunPlan, encodeRunPlan, ValidationError, type RunPlan } from '../../../protocol/index.js';

const positive = fc.integer({ min: 1, max: 2 ** 40 });
const natural = fc.nat(2 ** 30);
const number = fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }).map((value) => value + 0); // no -0
const file = fc.stringMatching(/^sha256:[0-9a-f]{64}$/);
const dataset: fc.Arbitrary<RunPlan['data']['train']> = fc.oneof(
  fc.record({ format: fc.constant('csv' as const), path: file, target: fc.integer({ min: -1, max: 9 }) }),
  fc.record({ format: fc.constant('idx' as const), features: file, labels: file }),
  fc.record({
    format: fc.constant('text' as const),
    path: file,
    tokens: fc.constant('char' as const),
    context: fc.integer({ min: 1, max: 64 }),
  }),
);
const rank = fc.record({
  device: fc.string(),
  host: fc.string(),
  pipelineRank: natural,
  samples: fc.array(natural, { minLength: 1, maxLength: 4 }),
  budgetBytes: number,
  accountedBytes: number,
});
const plan: fc.Arbitrary<RunPlan> = fc.record({
  jobId: fc.string(),
  name: fc.string({ unit: 'grapheme' }),
  epoch: positive,
  model: fc.record({ sha256: fc.string(), file: fc.string() }),
  weights: fc.option(
    fc.record({
      file: fc.string(),
      rename: fc.array(fc.tuple(fc.string(), fc.string()), { maxLength: 2 }),
      skip: fc.array(fc.string(), { maxLength: 2 }),
      allowMissing: fc.boolean(),
      allowUnexpected: fc.boolean(),
    }),
  ),
  frozen: fc.array(fc.string(), { maxLength: 2 }),
  data: fc.record({ train: dataset, validation: fc.option(dataset) }),
  loss: fc.constantFrom('cross_entropy' as const, 'mse' as const),
  lossOutput: fc.option(fc.string()),
  batchNormalization: fc.constantFrom('exported' as const, 'train' as const, 'freeze' as const),
  optimizer: fc.record({ kind: fc.constant('sgd' as const), lr: number }),
  schedule: fc.record({ kind: fc.constantFrom('constant' as const, 'cosine' as const) }),
  batch: positive,
  totalSteps: positive,
  stepsPerEpoch: positive,
  seed: natural,
  clipNorm: fc.option(fc.double({ min: 1e-6, max: 1e6, noNaN: true })),
  fallback: fc.constantFrom('report' as const, 'forbid' as const),
  wire: fc.constantFrom('float32' as const, 'bfloat16' as const),
  bucketBytes: positive,
  logEverySteps: positive,
  validateEverySteps: natural,
  checkpointEverySteps: natural,
  collectiveDeadlineSeconds: fc.double({ min: 0.1, max: 1e4, noNaN: true }),
  pipeline: fc.record({
    kind: fc.constantFrom('data-parallel' as const, '1f1b' as const, 'zero-bubble' as const),
    microBatches: positive,
    stagesPerRank: positive,
    shardOptimizer: fc.boolean(),
    stages: fc.array(fc.record({ nodes: fc.array(fc.string(), { maxLength: 3 }), recompute: fc.boolean() }), {
      minLength: 1,
      maxLength: 3,
    }),
  }),
  ranks: fc.array(rank, { minLength: 1, maxLength: 5 }),
});

/** Without the prototypes that fast-check gives its records. */
const plain = (value: RunPlan): unknown => JSON.parse(JSON.stringify(value));

t.test('a plan survives the wire', (t) => {
  fc.assert(
    fc.property(plan, (sent) => assert.deepEqual(plain(decodeRunPlan(encodeRunPlan(sent))), plain(sent))),
  );
  t.end();
});

t.test('anything else is refused, whatever the bytes', (t) => {
  const refused = (bytes: Uint8Array) => assert.throws(() => decodeRunPlan(bytes), ValidationError);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), refused), { numRuns: 1000 });
  const packr = new Packr({ useRecords: false });
  fc.assert(fc.property(fc.object(), (value) => refused(packr.pack(value))));
  t.end();
});

t.test('a plan that is cut short is refused; one with a flipped bit is refused or is another plan', (t) => {
  fc.assert(
    fc.property(plan, fc.nat(), fc.nat(7), (sent, position, bit) => {
      const bytes = encodeRunPlan(sent);
      assert.throws(() => decodeRunPlan(bytes.subarray(0, position % bytes.length)), ValidationError);
      const flipped = Uint8Array.from(bytes);
      flipped[position % bytes.length]! ^= 1 << bit;
      try {
        decodeRunPlan(flipped);
      } catch (error) {
        assert.ok(error instanceof ValidationError, String(error));
      }
    }),
    { numRuns: 300 },
  );
  t.end();
});

t.test('a key that no plan has is refused', (t) => {
  fc.assert(
    fc.property(plan, (sent) => {
      const extra = { ...sent, surprise: 1 };
      assert.throws(() => decodeRunPlan(encodeRunPlan(extra)), /unknown key "surprise"/);
    }),
    { numRuns: 20 },
  );
  t.end();
});
