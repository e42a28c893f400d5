import { hostname } from 'node:os';
import { createLogger, DtrainError, reportOf, systemClock } from '../../base/index.js';
import type { DeviceKind, DeviceRates } from '../../scheduler/index.js';
import { ExecutorProcess, Scratch } from '../daemon/index.js';
import {
  DeviceLock,
  discover,
  hostResources,
  listedEngines,
  parseDeviceSpec,
  resolveDevices,
  type Inventory,
  type ResolvedDevice,
} from '../device/index.js';
import { engineNamed, operatorsOf } from '../engine/index.js';

/** A device that was tried and answered, measured with the first of its engines that did. */
export interface HostDevice
  extends DeviceRates, Omit<ResolvedDevice, 'hostBytes' | 'exclusive' | 'maxBufferBytes'> {
  /** What it did with each engine that answered, `engine` first. */
  readonly engines: readonly ({ readonly engine: string } & DeviceRates)[];
  readonly maxBufferBytes?: number;
  /** Operators that it can run with `engine`; missing: all. */
  readonly operators?: readonly string[];
}

/** What was tried and did not answer, or computed nonsense. */
export interface UnavailableDevice {
  readonly id: string;
  readonly kind: DeviceKind;
  /** Missing where no engine was tried: the hardware is not there. */
  readonly engine?: string;
  readonly reason: string;
  /** What to do. */
  readonly advice: string;
}

export interface HostDevices {
  readonly devices: readonly HostDevice[];
  readonly unavailable: readonly UnavailableDevice[];
}

/** Where the hardware or its driver is not there. */
const ADVICE: Readonly<Partial<Record<DeviceKind, string>>> = {
  webgpu:
    'install the driver of the GPU (Linux: a Vulkan driver and libvulkan1); docs/devices.md says what each needs',
  cuda: "install NVIDIA's driver, CUDA 12 and cuDNN 9, then onnxruntime's CUDA libraries (docs/devices.md)",
};
const SEE_DOCS = 'docs/devices.md says how to get it';
const BROKEN = 'use another engine or device, or another version of its driver';

/**
 * What this host has: every device is tried with every engine, each in a process of its own with a deadline, on a small
 * training step, and measured. One after the other, for they share cores. Never rejects for what a driver does.
 * @param trying is told of each before it is tried
 */
export async function listDevices(
  trying: (what: string) => void,
  signal: AbortSignal = new AbortController().signal,
): Promise<HostDevices> {
  const inventory = await discover(new Set<DeviceKind>(['webgpu', 'cuda']), signal);
  const devices: HostDevice[] = [];
  const unavailable: UnavailableDevice[] = [...missingIn(inventory)];
  for (const [kind, index] of candidatesIn(inventory)) {
    const answered: ({ readonly device: ResolvedDevice } & DeviceRates)[] = [];
    for (const engine of listedEngines(kind)) {
      signal.throwIfAborted();
      const id = `${hostname()}/${kind}:${index}`;
      try {
        const spec = parseDeviceSpec(`${kind}:${index},engine=${engine}`);
        const [device] = resolveDevices(hostname(), [spec], hostResources(), inventory);
        const holder = device!.exclusive === undefined ? undefined : DeviceLock.holder(device!.exclusive);
        if (holder !== undefined) {
          const advice = 'end that worker to have it tried';
          unavailable.push({ id, kind, engine, reason: `it is taken by ${holder}`, advice });
          continue;
        }
        trying(`${kind}:${index} with ${engine}`);
        answered.push({ device: device!, ...(await measure(device!, signal)) });
      } catch (error) {
        if (signal.aborted) throw error;
        unavailable.push({ id, kind, engine, reason: reasonOf(error), advice: adviceFor(error) });
      }
    }
    if (answered.length > 0) devices.push(described(answered));
  }
  return { devices, unavailable };
}

/** What there may be of each kind. */
function candidatesIn({ webgpu, nvidia }: Inventory): readonly (readonly [DeviceKind, number])[] {
  return [
    ['cpu', 0],
    ...webgpu.adapters.map(({ index }) => ['webgpu', index] as const),
    ...nvidia.map(({ index }) => ['cuda', index] as const),
    ['webgl', 0],
    ['wasm', 0],
  ];
}

function missingIn({ webgpu, webgpuProblem, nvidia }: Inventory): readonly UnavailableDevice[] {
  const name = hostname();
  const none = (kind: DeviceKind, reason: string): UnavailableDevice => ({
    id: `${name}/${kind}:0`,
    kind,
    reason,
    advice: ADVICE[kind] ?? SEE_DOCS,
  });
  return [
    ...(webgpu.adapters.length === 0
      ? [none('webgpu', webgpuProblem ?? 'no GPU driver of this host answers to WebGPU')]
      : []),
    ...webgpu.unusable.map((each): UnavailableDevice => ({
      ...none('webgpu', each.reason),
      id: `${name}/webgpu (${each.name})`,
    })),
    ...(nvidia.length === 0 ? [none('cuda', 'no NVIDIA GPU: nvidia-smi lists none')] : []),
  ];
}

async function measure(device: ResolvedDevice, signal: AbortSignal): Promise<DeviceRates> {
  const scratch = new Scratch();
  try {
    const options = { device, listenHost: '127.0.0.1', scratch: scratch.renew(0) };
    const logger = createLogger('devices', 'silent');
    const { executor, rates } = await ExecutorProcess.start(options, systemClock, logger, signal, true);
    await executor.close(0);
    return rates;
  } finally {
    scratch.remove();
  }
}

function described(answered: readonly ({ readonly device: ResolvedDevice } & DeviceRates)[]): HostDevice {
  const [first] = answered;
  const { device, ...rates } = first!;
  const { hostBytes: _, exclusive: __, maxBufferBytes, ...rest } = device;
  const operators = operatorsOf(engineNamed(device.engine), device.kind);
  return {
    ...rest,
    ...rates,
    engines: answered.map(({ device: { engine }, ...each }) => ({ engine, ...each })),
    ...(maxBufferBytes !== undefined && { maxBufferBytes }),
    ...(operators !== 'all' && { operators }),
  };
}

function adviceFor(error: unknown): string {
  const { cause } = error as { readonly cause?: unknown };
  return reportOf(cause ?? error).code === 'engine_unavailable' ? SEE_DOCS : BROKEN;
}

/** Without the device, which is named beside it. */
function reasonOf(error: unknown): string {
  const { message } = reportOf(error);
  const what = error instanceof DtrainError && 'what' in error ? String(error.what) : message;
  return what.replace(/^the executor did not start: /, '');
}
