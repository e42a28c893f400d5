import { DEFAULT_BUCKET_BYTES } from '../buckets.js';
import { totalOf, type AccountItem } from '../account.js';
import type { Device } from '../device.js';
import type { Holding, UnitBytes } from './memory.js';

/** Values of one parameter's size that an update computes on its way, at most. */
const UPDATE_TEMPORARIES = 4;

/**
 * The account of a device where the optimizer runs there: parameters, gradients and state stay, and one bucket at a time is there
 * twice. Undefined where it runs on the host: values do not stay, gradients are summed with those of other ranks, or
 * the budget has no room for it.
 * @param account without it
 */
export function withDeviceUpdate(
  bytes: UnitBytes,
  { stages, replicas }: Holding,
  device: Device,
  microBatches: number,
  account: readonly AccountItem[],
): readonly AccountItem[] | undefined {
  const shared = replicas > 1 || stages.some((range) => bytes.tiedOutside(range) > 0);
  if (!keepsValues(device) || shared) return undefined;
  const { stateFactor, bucketBytes = DEFAULT_BUCKET_BYTES } = bytes.job;
  const trained = stages.reduce((sum, range) => sum + bytes.parameters(range, true), 0);
  const largest = bytes.largestTrained(stages);
  const bucket = Math.min(trained, bucketBytes + largest);
  const values = account.reduce(
    (sum, { what, bytes: held }) => (what === 'activations' ? sum + held : sum),
    0,
  );
  const working = (1 + stateFactor) * bucket + UPDATE_TEMPORARIES * largest;
  // where the budget is the host's, state and a second gradient are in it anyway
  const staying = device.ownMemory
    ? [
        { what: 'optimizer state', bytes: stateFactor * trained },
        { what: 'gradients added up', bytes: microBatches * stages.length > 1 ? trained : 0 },
      ]
    : [];
  // what forward and backward pass compute is gone by then
  const items = [...staying, { what: 'update', bytes: Math.max(0, working - values) }];
  const whole = [...account, ...items.filter((item) => item.bytes > 0)];
  return totalOf(whole) <= device.memoryBytes ? whole : undefined;
}

/** Whether the engine keeps values on the device between runs: onnxruntime's binding can on WebGPU alone. */
function keepsValues({ kind, engine = 'onnxruntime' }: Device): boolean {
  return kind === 'webgpu' && engine === 'onnxruntime';
}
