import t from 'tap';
import {
  makePlan,
  type Forced,
  type LayerProfile,
  type PlanRequest,
} from '../../../scheduler/planner/index.js';
import { CannotRunError, type Device, type Unit } from '../../../scheduler/index.js';

const MIB = 2 ** 20;
const work = { productFlops: 1e9, movedBytes: 1e6, launches: 3 };
const unit = (index: number, more: Partial<Unit> = {}): Unit => ({
  nodes: [`/layer${index}`],
  parameters: [{ name: `p${index}`, bytes: MIB, trained: true }],
  forward: work,
  backwardInput: work,
  backwardWeight: work,
  savedBytesPerSample: MIB,
  rereadBytesPerSample: 0,
  forwardBytesPerSample: MIB,
  backwardBytesPerSample: MIB,
  operators: ['MatMul'],
  ...more,
});
const model = (units: readonly Unit[]): LayerProfile => ({
  units,
  cuts: units.slice(1).map(() => ({ activationBytesPerSample: 1e4, gradientBytesPerSample: 1e4 })),
  tied: [],
  fused: {
    activationBytes: { base: 0, perSample: units.length * MIB },
    crossingBytes: { base: 0, perSample: 0 },
  },
  examples: { MatMul: '/layer0', LSTM: '/layer3' },
});
const cpu: Device = {
  id: 'a/cpu:0',
  host: 'a',
  kind: 'cpu',
  memoryBytes: 4096 * MIB,
  flops: 1e11,
};
const gpu: Device = { ...cpu, id: 'a/webgpu:0', kind: 'webgpu', flops: 1e12, ownMemory: true };
const ask = (
  layers: LayerProfile,
  devices: readonly Device[],
  parallelism: Forced = {},
  batch = 32,
): PlanRequest => ({
  layers,
  devices,
  batch,
  parallelism,
  job: { stateFactor: 2, batchBytesPerSample: 1000, datasetBytes: MIB },
  topology: { links: [] },
});
const plain = Array.from({ length: 6 }, (_, i) => unit(i));
const recurrent = plain.map((each, i) => (i === 3 ? unit(3, { operators: ['MatMul', 'LSTM'] }) : each));
const lacking: Device = { ...gpu, operators: ['MatMul', 'Add'] };

t.test('a layer goes to no device that lacks its operator, and the plan says why', async (t) => {
  const whole = makePlan(ask(model(recurrent), [cpu, { ...gpu, operators: ['LSTM', 'MatMul'] }]));
  t.ok(whole.stages.some(({ replicas }) => replicas.some(({ device }) => device === gpu.id)));
  for (const forced of [{}, { pipeline: 2 }]) {
    const plan = makePlan(ask(model(recurrent), [cpu, lacking], forced));
    for (const { nodes, replicas } of plan.stages) {
      if (nodes.includes('/layer3'))
        t.strictSame(
          replicas.map(({ device }) => device),
          [cpu.id],
        );
    }
    const reasons = plan.rejected.map(({ plan, reason }) => `${plan}: ${reason}`);
    t.ok(
      reasons.includes(
        'alone on a/webgpu:0: a/webgpu:0 cannot run layer "/layer3": operator LSTM (first in node "/layer3")',
      ),
      reasons.join('\n'),
    );
  }
  const forced = makePlan(ask(model(recurrent), [cpu, lacking], { pipeline: 2 }));
  t.ok(
    forced.stages.some(({ replicas }) => replicas.some(({ device }) => device === gpu.id)),
    'the layers that it can run are its own',
  );
});

t.test('a replica that can run nothing is no replica', async (t) => {
  for (const shares of [undefined, [3, 1]]) {
    const forced = { pipeline: 1, data: 2, ...(shares && { shares }) };
    t.throws(() => makePlan(ask(model(recurrent), [cpu, lacking], forced)), { code: 'cannot_run' });
    const three = [cpu, { ...cpu, id: 'b/cpu:0', host: 'b' }, lacking];
    t.strictSame(
      makePlan(ask(model(recurrent), three, { pipeline: 1, data: 2 })).stages[0]!.replicas.map(
        ({ device }) => device,
      ),
      [cpu.id, 'b/cpu:0'],
    );
  }
});

t.test('a value that is too large for a device keeps a layer, or samples, from it', async (t) => {
  const fixed = plain.map((each, i) =>
    i === 2 ? unit(2, { largest: { fixed: { value: 'table', base: 300 * MIB, perSample: 0 } } }) : each,
  );
  const small: Device = { ...gpu, maxBufferBytes: 128 * MIB };
  const plan = makePlan(ask(model(fixed), [cpu, small], { pipeline: 2 }));
  const holder = plan.stages.find(({ nodes }) => nodes.includes('/layer2'))!;
  t.strictSame(
    holder.replicas.map(({ device }) => device),
    [cpu.id],
  );
  t.match(
    plan.rejected.map(({ reason }) => reason).join('\n'),
    'cannot run layer "/layer2": value "table" of 300 MiB exceeds its largest binding of 128 MiB',
  );

  const growing = plain.map((each, i) =>
    i === 2 ? unit(2, { largest: { growing: { value: 'scores', base: 0, perSample: 20 * MIB } } }) : each,
  );
  const sliced = makePlan(ask(model(growing), [small]));
  const most = Math.max(
    ...sliced.stages.flatMap(({ replicas }) => replicas.flatMap((each) => each.samplesPerMicroBatch ?? [])),
  );
  t.ok(most <= 6, `${most} samples of 20 MiB`);
  t.match(sliced.rejected[0], { plan: 'more than 6 samples at once on a/webgpu:0' });
  t.throws(() => makePlan(ask(model(growing), [small], { microBatches: 1 })), {
    code: 'cannot_run',
    message: /with 32 samples exceeds its largest binding of 128 MiB; use microBatches: 8/,
  });
});

t.test('what no device can run is refused with the node, the operator and the devices', async (t) => {
  const ours: Device = { ...lacking, id: 'b/wasm:0', kind: 'wasm', ownMemory: false };
  try {
    makePlan(ask(model(recurrent), [lacking, ours]));
    t.fail('it is planned');
  } catch (error) {
    t.type(error, CannotRunError);
    t.match(error, {
      family: 'user',
      code: 'cannot_run',
      message: /a\/webgpu:0 cannot run layer "\/layer3": operator LSTM.*; b\/wasm:0 cannot run/,
      ids: { operators: ['LSTM'], nodes: ['/layer3'], devices: ['a/webgpu:0', 'b/wasm:0'] },
    });
  }
});

t.test('memory that is short is said to be short, whatever else a device lacks', async (t) => {
  const tiny = { ...cpu, memoryBytes: 184 * MIB };
  t.throws(() => makePlan(ask(model(recurrent), [tiny, lacking])), {
    code: 'budget_too_small',
    message: /a\/webgpu:0 cannot run layer "\/layer3": operator LSTM/,
  });
});

t.test('a budget of device memory counts values, not what is in the memory of the host', async (t) => {
  const item = (device: Device) =>
    new Map(
      makePlan(ask(model(plain), [device])).stages[0]!.replicas[0]!.account.map(({ what, bytes }) => [
        what,
        bytes,
      ]),
    );
  const [host, own] = [item(cpu), item(gpu)];
  t.ok(
    item({ ...cpu, engine: 'gpujs' }).get('activations')! > host.get('activations')!,
    'an engine of its own',
  );
  t.equal(own.get('parameters'), host.get('parameters')! / 2);
  const values = [own.get('activations')! / 1.75, host.get('activations')! / 1.4];
  t.equal(Math.round(values[0]!), Math.round(values[1]!), 'of the same values');
  for (const what of ['runtime', 'data set', 'copies of outputs']) {
    t.ok(host.get(what)! > 0, `${what} in the host's memory`);
    t.equal(own.get(what), undefined, `${what} not in the device's`);
  }
});
