import t from 'tap';
import { makePlan, type Forced, type LayerProfile } from '../../../scheduler/planner/index.js';
import { totalOf, type Device, type Replica, type Unit } from '../../../scheduler/index.js';

const MIB = 2 ** 20;
const UNITS = 4;
const PARAMETER = 8 * MIB;
const work = { productFlops: 1e9, movedBytes: 1e6, launches: 3 };
const units = Array.from({ length: UNITS }, (_, index): Unit => ({
  nodes: [`/layer${index}`],
  parameters: [{ name: `p${index}`, bytes: PARAMETER, trained: true }],
  forward: work,
  backwardInput: work,
  backwardWeight: work,
  savedBytesPerSample: 1000,
  rereadBytesPerSample: 0,
  forwardBytesPerSample: 1000,
  backwardBytesPerSample: 1000,
  operators: ['MatMul'],
}));
const layers: LayerProfile = {
  units,
  cuts: units.slice(1).map(() => ({ activationBytesPerSample: 1e3, gradientBytesPerSample: 1e3 })),
  tied: [],
  fused: { activationBytes: { base: 0, perSample: 1000 }, crossingBytes: { base: 0, perSample: 0 } },
  examples: { MatMul: '/layer0' },
};
const gpu: Device = {
  id: 'a/webgpu:0',
  host: 'a',
  kind: 'webgpu',
  memoryBytes: 4096 * MIB,
  flops: 1e12,
  ownMemory: true,
};

function replicasOf(devices: readonly Device[], parallelism: Forced = {}): readonly Replica[] {
  const job = { stateFactor: 2, batchBytesPerSample: 1000, datasetBytes: MIB, bucketBytes: 4 * MIB };
  const plan = makePlan({
    layers,
    devices,
    batch: 8,
    parallelism,
    job,
    topology: { links: [] },
  });
  return plan.stages.flatMap(({ replicas }) => replicas);
}

const bytesOf = ({ account }: Replica, what: string) => totalOf(account.filter((item) => item.what === what));

t.test('a device of its own memory that nobody shares with counts the optimizer, and runs it', (t) => {
  const [replica] = replicasOf([gpu]);
  t.equal(replica!.updateOnDevice, true);
  t.equal(bytesOf(replica!, 'optimizer state'), 2 * UNITS * PARAMETER);
  t.equal(bytesOf(replica!, 'gradients added up'), 0, 'one micro-batch');
  // a bucket of 4 MiB takes a parameter of 8 beyond that at most; three new values of it, and what is computed on the way
  const working = 3 * 12 * MIB + 4 * PARAMETER;
  t.equal(bytesOf(replica!, 'update'), working - bytesOf(replica!, 'activations'));
  t.equal(replica!.predictedPeakBytes, totalOf(replica!.account));
  t.end();
});

t.test('without the room, the optimizer runs on the host and the plan is what it was', (t) => {
  const [roomy] = replicasOf([gpu]);
  const [exact] = replicasOf([{ ...gpu, memoryBytes: roomy!.predictedPeakBytes }]);
  t.equal(exact!.updateOnDevice, true, 'to the byte');
  const [tight] = replicasOf([{ ...gpu, memoryBytes: roomy!.predictedPeakBytes - 1 }]);
  t.equal(tight!.updateOnDevice, undefined);
  t.equal(bytesOf(tight!, 'optimizer state') + bytesOf(tight!, 'update'), 0);
  t.equal(tight!.samplesPerStep, roomy!.samplesPerStep);
  t.end();
});

t.test('stages update on their devices, replicas and engines that keep nothing on the host', (t) => {
  const two = [gpu, { ...gpu, id: 'a/webgpu:1' }];
  const stages = replicasOf(two, { pipeline: 2, data: 1, microBatches: 4, schedule: '1f1b' });
  t.equal(stages.length, 2);
  for (const stage of stages) {
    t.equal(stage.updateOnDevice, true);
    t.equal(bytesOf(stage, 'gradients added up'), bytesOf(stage, 'gradients'));
  }
  for (const replica of replicasOf(two, { pipeline: 1, data: 2 })) t.equal(replica.updateOnDevice, undefined);
  for (const other of [
    { engine: 'gpujs' },
    { kind: 'cuda' as const },
    { kind: 'cpu' as const, ownMemory: false },
  ])
    t.equal(replicasOf([{ ...gpu, ...other }])[0]!.updateOnDevice, undefined);
  t.end();
});

t.test('on a software adapter the budget is the host’s: state and gradients are in it already', (t) => {
  const [replica] = replicasOf([{ ...gpu, ownMemory: false }]);
  t.equal(replica!.updateOnDevice, true);
  t.equal(bytesOf(replica!, 'optimizer state'), 2 * UNITS * PARAMETER);
  t.ok(bytesOf(replica!, 'update') > 0);
  t.end();
});
