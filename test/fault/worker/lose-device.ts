/**
 * Loaded into processes under test (`node --import`): when the file that DTRAIN_TEST_LOSE names is there, a compute
 * thread's WebGPU device is destroyed under it, as a driver that fails does. The file is removed, so that it happens once.
 */
import { existsSync, rmSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const LOOK_MS = 20;
const path = process.env['DTRAIN_TEST_LOSE'];

if (!isMainThread && path !== undefined) {
  const { globals } = await import('webgpu');
  const { prototype } = (globals as unknown as { GPUAdapter: typeof GPUAdapter }).GPUAdapter;
  const requestDevice = Object.getOwnPropertyDescriptor(prototype, 'requestDevice')!
    .value as GPUAdapter['requestDevice'];
  prototype.requestDevice = async function (this: GPUAdapter, descriptor) {
    const device = await requestDevice.call(this, descriptor);
    setInterval(() => {
      if (!existsSync(path)) return;
      rmSync(path);
      device.destroy();
    }, LOOK_MS).unref();
    return device;
  };
}
