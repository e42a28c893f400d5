import type { Tensor } from 'onnxruntime-node';
import {
  byteLengthOf,
  type DataType,
  type TensorData,
  type TensorType,
} from '../../../graph/index.js';
import type { Bytes } from '../../../base/index.js';
import type { DeviceMemory, ValueSpec } from '../port.js';
import { freeCopies, fromDevice, toDevice } from './edge.js';
import type { Copier } from './copier.js';

/** A value at a program's edge, and the type that it has on the device. */
export interface Edge {
  readonly spec: ValueSpec;
  readonly dtype: DataType;
}

/** A value on the device that stands for a part of a host's buffer. */
interface Placed {
  readonly dtype: DataType;
  readonly spec: TensorType;
  readonly start: Bytes;
  readonly end: Bytes;
  readonly tensor: Tensor;
}

/** Element types that values stay on the device with. */
const STAYING: ReadonlySet<DataType> = new Set<DataType>(['float32', 'int32']);

/**
 * Values that stay on the device between runs, by the host's buffers that they stand for. Each is freed exactly once:
 * when its buffer is dropped, or a program writes over it.
 */
export class DeviceValues implements DeviceMemory {
  private readonly buffers = new Map<ArrayBufferLike, { readonly owned: boolean; values: Placed[] }>();
  #bytes = 0;

  constructor(private readonly copier: Copier) {}

  /** What stays on the device now. */
  get bytes(): Bytes {
    return this.#bytes;
  }

  get count(): number {
    let count = 0;
    for (const { values } of this.buffers.values()) count += values.length;
    return count;
  }

  keep(buffer: ArrayBuffer): void {
    this.drop(buffer);
    this.buffers.set(buffer, { owned: false, values: [] });
  }

  own(buffer: ArrayBuffer): void {
    this.drop(buffer);
    this.buffers.set(buffer, { owned: true, values: [] });
  }

  drop(buffer: ArrayBuffer): void {
    const known = this.buffers.get(buffer);
    if (!known) return;
    this.buffers.delete(buffer);
    known.values.forEach((value) => this.free(value));
  }

  dropAll(): void {
    for (const buffer of [...this.buffers.keys()]) this.drop(buffer as ArrayBuffer);
  }

  /** Whether what a program writes to the array stays on the device. */
  stays({ dtype }: Edge, { buffer, byteLength }: TensorData): boolean {
    return byteLength > 0 && STAYING.has(dtype) && this.buffers.get(buffer)?.owned === true;
  }

  /** Bytes that reading the array adds to what is on the device. */
  missingBytes(edge: Edge, data: TensorData): Bytes {
    return this.find(edge, data) ? 0 : byteLengthOf({ ...edge.spec, dtype: edge.dtype });
  }

  /** What a program reads: the value on the device, brought there if its buffer keeps it; else the host's. */
  async read(edge: Edge, data: TensorData): Promise<Tensor> {
    const found = this.find(edge, data);
    if (found) return found.tensor;
    const known = this.buffers.get(data.buffer);
    if (known) await this.bringBack(known, data);
    const host = toDevice(edge, data);
    if (!known || data.byteLength === 0 || !STAYING.has(edge.dtype)) return host;
    const tensor = await this.copier.upload(host);
    this.place(known, edge, data, tensor);
    return tensor;
  }

  /** Forgets what a program is about to write over. */
  forget({ buffer, byteOffset, byteLength }: TensorData): void {
    const known = this.buffers.get(buffer);
    if (!known) return;
    const end = byteOffset + byteLength;
    const over = (value: Placed) => value.start < end && byteOffset < value.end;
    known.values.filter(over).forEach((value) => this.free(value));
    known.values = known.values.filter((value) => !over(value));
  }

  /** Takes what a program has written, for as long as the buffer is there. */
  write(edge: Edge, data: TensorData, tensor: Tensor): void {
    this.place(this.buffers.get(data.buffer)!, edge, data, tensor);
  }

  private place(known: { values: Placed[] }, { spec, dtype }: Edge, data: TensorData, tensor: Tensor): void {
    const { byteOffset: start, byteLength } = data;
    known.values.push({ dtype, spec, start, end: start + byteLength, tensor });
    this.#bytes += byteLengthOf({ ...spec, dtype });
  }

  private free({ tensor, spec, dtype }: Placed): void {
    tensor.dispose();
    this.#bytes -= byteLengthOf({ ...spec, dtype });
  }

  private find({ spec, dtype }: Edge, { buffer, byteOffset }: TensorData): Placed | undefined {
    return this.buffers
      .get(buffer)
      ?.values.find(
        (value) =>
          value.start === byteOffset &&
          value.dtype === dtype &&
          value.spec.dtype === spec.dtype &&
          value.spec.shape.join() === spec.shape.join(),
      );
  }

  /** Another program wrote the bytes as a value of another type: they go through the host. */
  private async bringBack(
    known: { readonly owned: boolean; values: Placed[] },
    data: TensorData,
  ): Promise<void> {
    const end = data.byteOffset + data.byteLength;
    const over = known.values.filter((value) => value.start < end && data.byteOffset < value.end);
    for (const value of over) {
      if (known.owned) {
        const host = await this.copier.download(value.tensor);
        fromDevice(value.spec, host, data.buffer, value.start);
        freeCopies([host], []);
      }
      this.free(value);
    }
    known.values = known.values.filter((value) => !over.includes(value));
  }
}
