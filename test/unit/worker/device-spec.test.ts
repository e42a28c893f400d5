import t from 'tap';
import { parseDeviceSpec, resolveDevices } from '../../../worker/device/index.js';

const host = { cores: 8, memoryBytes: 16e9 };

t.test('a full spec', (t) => {
  t.same(parseDeviceSpec('cpu:1,memory=2GiB,threads=3,engine=reference,speed=0.5'), {
    kind: 'cpu',
    index: 1,
    memoryBytes: 2 * 2 ** 30,
    threads: 3,
    engine: 'reference',
    speed: 0.5,
  });
  t.end();
});

t.test('defaults share cores and three quarters of the memory', (t) => {
  const [first, second] = resolveDevices('old', [parseDeviceSpec('cpu'), parseDeviceSpec('cpu:1')], host);
  t.equal(first!.id, 'old/cpu:0');
  t.equal(second!.id, 'old/cpu:1');
  t.equal(first!.threads, 4);
  t.equal(first!.memoryBytes, 6e9);
  t.equal(first!.engine, 'onnxruntime');
  t.end();
});

t.test('what is wrong is named', (t) => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ['gpu', /"gpu" is not a kind of device \(cpu, webgpu/],
    ['cpu:x', /"x" is not an index/],
    ['cpu:0:1', /not an index/],
    ['cpu,mem=1', /unknown option "mem" \(memory, threads, engine, speed\)/],
    ['cpu,memory=', /"memory" has no value/],
    ['cpu,threads=0', /threads=0 is not a whole number from 1/],
    ['cpu,threads=1.5', /threads=1.5 is not/],
    ['cpu,speed=0', /speed=0 is not/],
    ['cpu,speed=2', /speed=2 is not/],
    ['cpu,speed=1,speed=1', /"speed" is given twice/],
    ['cpu,memory=lots', /"lots" is not a size/],
    ['cpu,memory=0', /memory=0 is no budget/],
  ];
  for (const [spec, message] of refused)
    t.throws(() => parseDeviceSpec(spec), { family: 'user', message }, spec);
  t.throws(() => resolveDevices('h', [parseDeviceSpec('cpu'), parseDeviceSpec('cpu:0')], host), {
    code: 'bad_device',
    message: /named twice/,
  });
  t.throws(() => resolveDevices('h', [parseDeviceSpec('cuda')], host), {
    message: /--device cuda:0: there is no NVIDIA GPU here/,
  });
  t.throws(() => resolveDevices('h', [parseDeviceSpec('cpu,engine=fast')], host), {
    message: /"fast" does not run/,
  });
  t.end();
});
