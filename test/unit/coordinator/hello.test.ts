import { create } from '@bufbuild/protobuf';
import t from 'tap';
import { version } from '../../../base/index.js';
import { refusalOf } from '../../../coordinator/membership/index.js';
import { deviceFrom, described } from '../../../coordinator/membership/hello.js';
import { DeviceSchema, HelloSchema } from '../../../protocol/index.js';

const device = (change: object = {}) =>
  create(DeviceSchema, {
    id: 'old/cpu:0',
    kind: 'cpu',
    engine: 'onnxruntime',
    threads: 1,
    memoryBytes: 1e9,
    flops: 1e9,
    convolutionFlops: 1e9,
    memoryBandwidthBytesPerSecond: 1e10,
    launchSeconds: 1e-6,
    speed: 1,
    ...change,
  });
const hello = (change: object = {}) =>
  create(HelloSchema, { version, name: 'old', pid: 1, devices: [device()], ...change });

t.equal(refusalOf(hello(), new Set(['other'])), undefined);
for (const [what, greeting, code, message] of [
  ['another version', hello({ version: '0.0.9' }), 'version_mismatch', /0\.0\.9.*install the same version/],
  ['no version', hello({ version: '' }), 'version_mismatch', /\(none\)/],
  [
    'a name that is taken',
    hello({ name: 'new', devices: [device({ id: 'new/cpu:0' })] }),
    'name_taken',
    /--name/,
  ],
  ['a name with a slash', hello({ name: 'a/b' }), 'bad_hello', /letters/],
  ['no devices', hello({ devices: [] }), 'bad_hello', /--device/],
  [
    'a device of another host',
    hello({ devices: [device({ id: 'big/cpu:0' })] }),
    'bad_hello',
    /must be called old\//,
  ],
  ['a device twice', hello({ devices: [device(), device()] }), 'bad_hello', /twice/],
  ['a kind that is none', hello({ devices: [device({ kind: 'tpu' })] }), 'bad_hello', /tpu/],
  ['no memory', hello({ devices: [device({ memoryBytes: 0 })] }), 'bad_hello', /memory/],
  ['no speed', hello({ devices: [device({ flops: NaN })] }), 'bad_hello', /flops was measured as NaN/],
  ['no launch cost', hello({ devices: [device({ launchSeconds: 0 })] }), 'bad_hello', /launchSeconds/],
] as const) {
  t.match(refusalOf(greeting, new Set(['new'])), { code, message }, what);
}

const gpu = device({
  id: 'old/webgpu:0',
  kind: 'webgpu',
  engine: 'gpujs',
  description: 'a GPU',
  ownMemory: true,
  operators: ['Add', 'MatMul'],
  maxBufferBytes: 2 ** 27,
});
t.match(
  refusalOf(hello({ devices: [device({ maxBufferBytes: NaN })] }), new Set()),
  { code: 'bad_hello', message: /NaN bytes/ },
  'no size of values',
);
const abilities = { ownMemory: true, operators: ['Add', 'MatMul'], maxBufferBytes: 2 ** 27 };
t.match(deviceFrom('old', gpu), { ...abilities, description: 'a GPU' }, 'the planner is told what it can do');
t.match(described(deviceFrom('old', gpu)!), abilities, 'and so is who asks');
t.notOk('operators' in deviceFrom('old', device())!, 'one that says nothing can do all');
