import { version } from '../../base/index.js';
import type { Device as WireDevice, DeviceRecord, Hello } from '../../protocol/index.js';
import type { Device, DeviceKind, DeviceRates } from '../../scheduler/index.js';

/** A device as its daemon describes it. */
export interface JoinedDevice extends Omit<Device, keyof DeviceRates>, DeviceRates {
  readonly engine: string;
  readonly threads: number;
  readonly speed: number;
  readonly description?: string;
}

type DescribedDevice = Omit<
  DeviceRecord,
  'state' | 'job' | 'rank' | 'phase' | 'step' | 'heartbeatAgeSeconds'
>;

export interface RefusedHello {
  readonly code: 'version_mismatch' | 'name_taken' | 'bad_hello';
  readonly message: string;
}

const KINDS: readonly DeviceKind[] = ['cpu', 'webgpu', 'cuda', 'webgl', 'wasm'];

/** What is wrong with a daemon's first message; undefined when it may join. Pure. */
export function refusalOf(hello: Hello, takenNames: ReadonlySet<string>): RefusedHello | undefined {
  const { name, devices } = hello;
  if (hello.version !== version) {
    return {
      code: 'version_mismatch',
      message:
        `worker "${name}" is dtrain ${hello.version || '(none)'}, the coordinator is ${version}; ` +
        'install the same version on both hosts',
    };
  }
  if (!/^[\w.-]{1,100}$/.test(name)) {
    return bad(
      `the name ${JSON.stringify(name)} of a worker may hold letters, digits, ".", "_" and "-"; give --name`,
    );
  }
  if (takenNames.has(name)) {
    return {
      code: 'name_taken',
      message: `another worker has joined as "${name}"; give this one another --name`,
    };
  }
  if (devices.length === 0) return bad(`worker "${name}" brings no device; give it --device`);
  for (const [i, device] of devices.entries()) {
    if (devices.findIndex((other) => other.id === device.id) !== i)
      return bad(`device ${device.id} is named twice`);
    const problem = problemOf(name, device);
    if (problem) return bad(problem);
  }
  return undefined;
}

/** @returns undefined when the daemon described it wrongly */
export function deviceFrom(name: string, wire: WireDevice): JoinedDevice | undefined {
  const kind = KINDS.find((known) => known === wire.kind);
  if (problemOf(name, wire) !== undefined || kind === undefined) return undefined;
  const { id, engine, threads, memoryBytes, speed } = wire;
  return {
    id,
    host: name,
    kind,
    engine,
    threads,
    memoryBytes,
    speed,
    ...ratesOf(wire),
    ...abilitiesOf(wire),
  };
}

function abilitiesOf({ description, ownMemory, operators, maxBufferBytes }: WireDevice) {
  return {
    ...(description !== '' && { description }),
    ...(ownMemory && { ownMemory }),
    ...(operators.length > 0 && { operators }),
    ...(maxBufferBytes > 0 && { maxBufferBytes }),
  };
}

/** The part of a device's record that its daemon has told. */
export function described(device: JoinedDevice): DescribedDevice {
  const { id, host, kind, engine, threads, memoryBytes, speed, ...rates } = device;
  const { description, ownMemory, operators, maxBufferBytes } = device;
  const { flops, convolutionFlops, memoryBandwidthBytesPerSecond: memoryBandwidth, launchSeconds } = rates;
  return {
    ...{ id, host, kind, engine, threads, memoryBytes, speed },
    ...{ flops, convolutionFlops, memoryBandwidth, launchSeconds },
    ...(description !== undefined && { description }),
    ...(ownMemory !== undefined && { ownMemory }),
    ...(operators && { operators: [...operators] }),
    ...(maxBufferBytes !== undefined && { maxBufferBytes }),
  };
}

function problemOf(name: string, device: WireDevice): string | undefined {
  const { id, kind, memoryBytes } = device;
  if (!id.startsWith(`${name}/`))
    return `device ${JSON.stringify(id)} of worker "${name}" must be called ${name}/KIND:INDEX`;
  if (!KINDS.some((known) => known === kind))
    return `device ${id}: kind ${JSON.stringify(kind)} is none of ${KINDS.join(', ')}`;
  if (!(memoryBytes > 0 && Number.isFinite(memoryBytes)))
    return `device ${id}: a memory budget of ${memoryBytes} bytes`;
  if (!(device.maxBufferBytes >= 0)) return `device ${id}: values of ${device.maxBufferBytes} bytes at most`;
  const odd = Object.entries(ratesOf(device)).find(([, rate]) => !(rate > 0 && Number.isFinite(rate)));
  return odd && `device ${id}: ${odd[0]} was measured as ${odd[1]}`;
}

function ratesOf(device: WireDevice): DeviceRates {
  const { flops, convolutionFlops, memoryBandwidthBytesPerSecond, launchSeconds } = device;
  return { flops, convolutionFlops, memoryBandwidthBytesPerSecond, launchSeconds };
}

function bad(message: string): RefusedHello {
  return { code: 'bad_hello', message };
}
