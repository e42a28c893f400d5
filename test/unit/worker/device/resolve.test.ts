import t from 'tap';
import {
  parseDeviceSpec,
  parseNvidia,
  resolveDevices,
  type Inventory,
} from '../../../../worker/device/index.js';

const GIB = 2 ** 30;
const host = { cores: 8, memoryBytes: 32 * GIB };
const adapter = {
  index: 0,
  name: 'NVIDIA RTX A2000',
  backend: 'vulkan',
  vendor: 'nvidia',
  architecture: 'ampere',
  driver: '550',
  software: false,
  maxBindingBytes: 2 * GIB - 4,
  maxBufferBytes: 4 * GIB,
  maxWorkgroups: 65535,
};
const software = { ...adapter, index: 1, name: 'SwiftShader Device', vendor: 'google', software: true };
const other = { ...adapter, index: 2, name: 'Intel Arc', vendor: 'intel' };
const inventory: Inventory = {
  webgpu: { adapters: [adapter, software, other], unusable: [] },
  nvidia: [{ index: 0, name: 'NVIDIA RTX A2000', uuid: 'GPU-1', memoryBytes: 12 * GIB }],
};
const resolve = (...specs: string[]) => resolveDevices('h', specs.map(parseDeviceSpec), host, inventory);

t.test('what a device is given by default', async (t) => {
  const [gpu] = resolve('webgpu');
  t.match(gpu, {
    id: 'h/webgpu:0',
    engine: 'onnxruntime',
    description: 'NVIDIA RTX A2000 through Vulkan',
    ownMemory: true,
    memoryBytes: Math.floor(0.9 * 12 * GIB),
    hostBytes: 24 * GIB,
    maxBufferBytes: 2 * GIB - 4,
  });
  const [slow] = resolve('webgpu:1,engine=gpujs,memory=1GiB');
  t.match(slow, { engine: 'gpujs', hostBytes: 25 * GIB, exclusive: undefined });
  t.match(slow!.description, /software: it computes on the CPU/);
  t.match(resolve('webgpu:2')[0], { memoryBytes: 2 * GIB });
  t.match(resolve('wasm,memory=1GiB')[0], { engine: 'gpujs', ownMemory: false, hostBytes: GIB });
  t.match(resolve('cuda')[0], { engine: 'onnxruntime', description: 'NVIDIA RTX A2000 through CUDA' });
});

t.test('what cannot be is refused with what there is', async (t) => {
  const refused: readonly (readonly [readonly string[], RegExp])[] = [
    [
      ['webgpu:3'],
      /there is no device "webgpu:3"; there are webgpu:0 \(NVIDIA RTX A2000\), webgpu:1 \(Swift/,
    ],
    [['cuda:1'], /there is no such device; there are cuda:0 \(NVIDIA RTX A2000\)/],
    [['webgl:1'], /there is one webgl device/],
    [['webgpu:0,memory=16GiB'], /memory=16.0 GiB is more than the 12.0 GiB that NVIDIA RTX A2000/],
    [['webgpu:1,memory=64GiB'], /memory=64.0 GiB is more than the 32.0 GiB that this host has/],
    [['cpu,memory=64GiB'], /memory=64.0 GiB is more than the 32.0 GiB that this host has/],
    [['webgpu:0', 'cuda:0'], /--device cuda:0: is the same GPU as webgpu:0/],
    [['webgpu:0', 'webgpu:0'], /named twice/],
    [['wasm,engine=onnxruntime'], /engine "onnxruntime" does not run on wasm \(gpujs\)/],
    [['webgpu,engine=reference'], /engine "reference" does not run on webgpu \(onnxruntime, gpujs\)/],
    [['cuda,engine=gpujs'], /engine "gpujs" does not run on cuda \(onnxruntime\)/],
  ];
  for (const [specs, message] of refused)
    t.throws(() => resolve(...specs), { family: 'user', message }, specs.join(' '));
  const none = { webgpu: { adapters: [], unusable: [] }, nvidia: [] };
  t.throws(() => resolveDevices('h', [parseDeviceSpec('webgpu')], host, none), {
    family: 'user',
    message: /no GPU driver answers to WebGPU here/,
  });
  const hanging = { ...none, webgpuProblem: 'looking for WebGPU adapters: no answer within 20 s' };
  t.throws(() => resolveDevices('h', [parseDeviceSpec('webgpu')], host, hanging), {
    message: /no answer within 20 s/,
  });
});

t.test('NVIDIA GPUs are those that CUDA shows, in its order', async (t) => {
  const lines = '0, GPU-aa, 24576, NVIDIA A\n1, GPU-bb, 8192, NVIDIA B, big\nno line of it\n';
  const names = (visible?: string) =>
    parseNvidia(lines, visible).map(({ index, name }) => `${index} ${name}`);
  t.strictSame(names(), ['0 NVIDIA A', '1 NVIDIA B, big']);
  t.strictSame(names('1,0'), ['0 NVIDIA B, big', '1 NVIDIA A']);
  t.strictSame(names('GPU-b'), ['0 NVIDIA B, big']);
  t.strictSame(names('7,0'), []);
  t.strictSame(names(''), []);
  t.equal(parseNvidia(lines)[0]?.memoryBytes, 24 * GIB);
});
