import { formatBytes, type Bytes } from '../../base/index.js';
import type { DeviceKind } from '../../scheduler/index.js';
import { DeviceSpecError } from '../errors.js';
import { ENGINES_OF } from './engines.js';
import { hardwareOf, type Hardware } from './hardware.js';
import { EMPTY_INVENTORY, type Inventory } from './inventory.js';
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
  /** For people: what it is. */
  readonly description: string;
  /** Whether `memoryBytes` are of memory of its own: the engine keeps to them then, not the process. */
  readonly ownMemory: boolean;
  /** What the executor's process may take of the host's memory; where that is the budget, the same. */
  readonly hostBytes: Bytes;
  readonly maxBufferBytes: Bytes | undefined;
  /** Names the hardware that one worker alone may use. */
  readonly exclusive: string | undefined;
}

/** What a host has to share out. */
export interface HostResources {
  readonly cores: number;
  /** 0 where nobody tells: every device needs its budget then. */
  readonly memoryBytes: Bytes;
}

/** Of the host's memory so much is shared out. */
const SHARED_OUT = 0.75;
/** Of a GPU's own memory so much: its driver, and whatever else draws, need some. */
const OF_A_GPU = 0.9;
/** Where nobody tells how much a GPU has: what those of ten years have. */
const UNKNOWN_GPU_BYTES: Bytes = 2 * 2 ** 30;

/**
 * Fills in a host's defaults: cores and three quarters of the memory, shared equally by its devices; nine tenths of a GPU's
 * own memory.
 * @param inventory of the kinds that the specs name
 * @throws DeviceSpecError, EngineUnavailableError for a device that is not there or named twice, a kind and an engine that
 *   do not go together, a budget above what there is
 */
export function resolveDevices(
  name: string,
  specs: readonly DeviceSpec[],
  host: HostResources,
  inventory: Inventory = EMPTY_INVENTORY,
): readonly ResolvedDevice[] {
  const share = Math.floor((host.memoryBytes * SHARED_OUT) / specs.length);
  const users = new Map<string, string>();
  return specs.map((spec) => {
    const short = `${spec.kind}:${spec.index}`;
    if (users.has(short)) throw new DeviceSpecError(short, 'is named twice; give each device its own index');
    users.set(short, short);
    const engines = ENGINES_OF[spec.kind];
    const engine = spec.engine ?? engines[0];
    if (!engines.includes(engine)) {
      throw new DeviceSpecError(
        short,
        `engine "${engine}" does not run on ${spec.kind} (${engines.join(', ')})`,
      );
    }
    const hardware = hardwareOf(spec.kind, spec.index, inventory);
    const { exclusive, description, ownMemory, maxBufferBytes, software } = hardware;
    if (exclusive !== undefined) {
      const other = users.get(exclusive);
      if (other !== undefined)
        throw new DeviceSpecError(short, `is the same GPU as ${other} (${description})`);
      users.set(exclusive, short);
    }
    const memoryBytes = spec.memoryBytes ?? defaultBudget(hardware, share);
    refuseTooMuch(short, spec, hardware, host);
    return {
      id: `${name}/${short}`,
      kind: spec.kind,
      index: spec.index,
      engine,
      threads: spec.threads ?? Math.max(1, Math.floor(host.cores / specs.length)),
      memoryBytes,
      speed: spec.speed,
      description,
      ownMemory,
      // what a software adapter calls its own is its process's
      hostBytes: ownMemory ? share + (software ? memoryBytes : 0) : memoryBytes,
      maxBufferBytes,
      exclusive,
    };
  });
}

function defaultBudget({ ownMemory, software, totalBytes }: Hardware, share: Bytes): Bytes {
  if (!ownMemory || software) return share;
  return totalBytes === undefined ? UNKNOWN_GPU_BYTES : Math.floor(totalBytes * OF_A_GPU);
}

function refuseTooMuch(
  short: string,
  { memoryBytes = 0 }: DeviceSpec,
  { ownMemory, software, totalBytes, description }: Hardware,
  host: HostResources,
): void {
  const inHost = !ownMemory || software;
  const most = inHost ? host.memoryBytes : totalBytes;
  if (most === undefined || most === 0 || memoryBytes <= most) return;
  const whose = inHost ? 'this host has' : `${description} has`;
  throw new DeviceSpecError(
    short,
    `memory=${formatBytes(memoryBytes)} is more than the ${formatBytes(most)} that ${whose}`,
  );
}
