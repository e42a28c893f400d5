import type { Bytes } from '../../../base/index.js';
import type { Backend } from './kernel.js';
import type { Plan } from './plan.js';

/** Memory that a program takes on its device, before anything is allocated. */
export interface Footprint {
  readonly inputs: Bytes;
  readonly constants: Bytes;
  /** Values that launches make, those that never live at once in the same memory. */
  readonly values: Bytes;
  /** What outputs are read back through. */
  readonly staging: Bytes;
  readonly total: Bytes;
  readonly largest: { readonly name: string; readonly bytes: Bytes };
}

/** What gpu.js allocates for a plan. */
export function footprintOf(plan: Plan, backend: Backend): Footprint {
  const bytesOf = (names: Iterable<string>): Bytes => {
    let elements = 0;
    for (const name of names) elements += plan.sizes.get(name)!;
    return 4 * elements;
  };
  const results = plan.outputs.flatMap((source) => (source.kind === 'launch' ? [source.name] : []));
  const inputs = bytesOf(plan.inputs);
  const constants = bytesOf(plan.constants.keys());
  // kernels in plain JavaScript and on WebGL each keep their output; the others share it between values of one shape
  const shares = backend === 'wasm' || backend === 'webgpu';
  const values = shares
    ? sharedBytes(plan, results)
    : bytesOf(plan.launches.map(({ kernel }) => kernel.output));
  const staging = backend === 'webgpu' ? bytesOf(results) : 0;
  let largest = { name: '', bytes: 0 };
  for (const [name, elements] of plan.sizes) {
    if (4 * elements > largest.bytes) largest = { name, bytes: 4 * elements };
  }
  return { inputs, constants, values, staging, total: inputs + constants + values + staging, largest };
}

/** As gpu.js assigns buffers: a value takes the first buffer of its extents whose last reader ran before it. */
function sharedBytes({ launches }: Plan, results: readonly string[]): Bytes {
  const lastRead = new Map<string, number>();
  launches.forEach(({ kernel }, at) => kernel.inputs.forEach((name) => lastRead.set(name, at)));
  for (const name of results) lastRead.set(name, launches.length);
  const buffers: { readonly extents: string; busyUntil: number }[] = [];
  let bytes = 0;
  launches.forEach(({ kernel: { output, extents } }, at) => {
    const key = extents.join('x');
    const until = lastRead.get(output) ?? -1;
    const free = buffers.find((each) => each.extents === key && each.busyUntil < at);
    if (free) {
      free.busyUntil = until;
      return;
    }
    buffers.push({ extents: key, busyUntil: until });
    bytes += 4 * extents.reduce((product, extent) => product * extent, 1);
  });
  return bytes;
}
