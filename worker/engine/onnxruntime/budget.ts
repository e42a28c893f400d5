import { formatBytes, type Bytes } from '../../../base/index.js';
import { byteLengthOf, formatType, peakActivationBytes, type TypedGraph } from '../../../graph/index.js';
import { DeviceMemoryError } from '../errors.js';

/** What an adapter or a user allows. */
export interface DeviceLimits {
  /** For messages: `webgpu:0`. */
  readonly device: string;
  /** What the engine may have on the device. */
  readonly memoryBytes?: Bytes | undefined;
  /** The largest value that a kernel can be given. */
  readonly largestBytes?: Bytes | undefined;
}

/**
 * Refuses what a device has no room for, before anything is allocated. What the library takes within a run is the most
 * that the graph's values need at once when its nodes run in order.
 */
export class DeviceBudget {
  private readonly peaks = new WeakMap<TypedGraph, Bytes>();

  private most: Bytes = 0;

  constructor(readonly limits: DeviceLimits) {}

  /** @throws DeviceMemoryError naming the value that is too large, or what the graph needs */
  checkGraph(graph: TypedGraph): void {
    const { device, largestBytes = Infinity, memoryBytes = Infinity } = this.limits;
    for (const [name, type] of graph.types) {
      const bytes = byteLengthOf(type);
      if (bytes <= largestBytes) continue;
      throw new DeviceMemoryError(
        `graph "${graph.name}": value "${name}" (${formatType(type)}) takes ${formatBytes(bytes)}; ${device} takes at ` +
          `most ${formatBytes(largestBytes)} in one. Smaller batches, more stages or another device would do`,
        { ids: { device, value: name } },
      );
    }
    const edges = [...graph.inputs, ...graph.parameters.keys()];
    const read = edges.reduce((sum, name) => sum + byteLengthOf(graph.types.get(name)!), 0);
    if (read + this.peak(graph) > memoryBytes) throw this.tooMuch(graph.name, graph, 0, read);
  }

  /**
   * @param staying on the device already
   * @param missing that the run brings there first
   * @throws DeviceMemoryError
   */
  checkRun(name: string, graph: TypedGraph, staying: Bytes, missing: Bytes): void {
    const { memoryBytes = Infinity } = this.limits;
    const needed = staying + missing + this.peak(graph);
    if (needed > memoryBytes) throw this.tooMuch(name, graph, staying, missing);
    this.most = Math.max(this.most, needed);
  }

  /** The most that a run needed since this was called last. */
  takeMost(): Bytes {
    const { most } = this;
    this.most = 0;
    return most;
  }

  private tooMuch(name: string, graph: TypedGraph, staying: Bytes, missing: Bytes): DeviceMemoryError {
    const { device, memoryBytes = 0 } = this.limits;
    return new DeviceMemoryError(
      `graph "${name}" does not fit ${device}: ${formatBytes(staying)} are there, ${formatBytes(missing)} would be ` +
        `brought, ${formatBytes(this.peak(graph))} computed; the budget is ${formatBytes(memoryBytes)}`,
      { ids: { device, graph: name } },
    );
  }

  private peak(graph: TypedGraph): Bytes {
    let bytes = this.peaks.get(graph);
    if (bytes === undefined) {
      bytes = peakActivationBytes(graph);
      for (const constant of graph.constants.values()) bytes += byteLengthOf(constant);
      this.peaks.set(graph, bytes);
    }
    return bytes;
  }
}
