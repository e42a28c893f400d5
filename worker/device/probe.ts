import { hostname } from 'node:os';
import type { DeviceRates } from '../../scheduler/index.js';
import { createEngine, engineNamed, measureRates } from '../engine/index.js';
import { hostResources } from './host.js';
import { resolveDevices, type ResolvedDevice } from './resolve.js';
import { parseDeviceSpec } from './spec.js';

/** A device that was tried and answered. */
export interface ProbedDevice extends ResolvedDevice, DeviceRates {}

/** What this host has, each device measured in this process. */
export async function probeDevices(): Promise<readonly ProbedDevice[]> {
  const probed: ProbedDevice[] = [];
  for (const device of resolveDevices(hostname(), [parseDeviceSpec('cpu:0')], hostResources())) {
    const engine = await createEngine(engineNamed(device.engine), { threads: device.threads });
    try {
      probed.push({ ...device, ...(await measureRates(engine)) });
    } finally {
      await engine.dispose();
    }
  }
  return probed;
}
