import type { Bytes } from '../../base/index.js';
import type { DeviceKind } from '../../scheduler/index.js';
import { DeviceSpecError } from '../errors.js';
import type { DeviceSpec } from './spec.js';

/** A device with every default filled in: what an executor is started with. */
export interface ResolvedDevice {
  /** `NAME/KIND:INDEX` */
  readonly id: string;
  readonly kind: DeviceKind;
  readonly index: number;
  readonly engine: string;
  readonly threads: number;
  readonly memoryBytes: Bytes;
  readonly speed: number;
}

/** What a host has to share out. */
export interface HostResources {
  readonly cores: number;
  readonly memoryBytes: Bytes;
}

/** Kinds of devices that an engine of this build runs on. */
const RUNNABLE: Readonly<Partial<Record<DeviceKind, readonly string[]>>> = {
  cpu: ['onnxruntime', 'reference'],
};

/**
 * Fills in a host's defaults: cores and three quarters of the memory, shared equally by its CPU devices.
 * @throws DeviceSpecError for two devices of one id, a kind or an engine that this build cannot run
 */
export function resolveDevices(
  name: string,
  specs: readonly DeviceSpec[],
  host: HostResources,
): readonly ResolvedDevice[] {
  const seen = new Set<string>();
  return specs.map((spec) => {
    const short = `${spec.kind}:${spec.index}`;
    if (seen.has(short)) throw new DeviceSpecError(short, 'is named twice; give each device its own index');
    seen.add(short);
    const engines = RUNNABLE[spec.kind];
    if (!engines) {
      throw new DeviceSpecError(
        short,
        `no engine of this version runs on ${spec.kind}; cpu is what it can use`,
      );
    }
    const engine = spec.engine ?? engines[0]!;
    if (!engines.includes(engine)) {
      throw new DeviceSpecError(
        short,
        `engine "${engine}" does not run on ${spec.kind} (${engines.join(', ')})`,
      );
    }
    return {
      id: `${name}/${short}`,
      kind: spec.kind,
      index: spec.index,
      engine,
      threads: spec.threads ?? Math.max(1, Math.floor(host.cores / specs.length)),
      memoryBytes: spec.memoryBytes ?? Math.floor((host.memoryBytes * 0.75) / specs.length),
      speed: spec.speed,
    };
  });
}
