import type { Tensor } from 'onnxruntime-node';
import {
  byteLengthOf,
  sameShape,
  type DataType,
  type TensorData,
  type TensorType,
} from '../../../graph/index.js';
import type { Bytes } from '../../../base/index.js';
import type { DeviceMemory } from '../port.js';
import { freeCopies, fromDevice, toDevice, type Edge } from './edge.js';
import type { Copier } from './copier.js';

/** A value on the device that stands for a part of a host's buffer. */
interface Placed {
  readonly dtype: DataType;
  readonly spec: TensorType;
  readonly start: Bytes;
  readonly end: Bytes;
  readonly tensor: Tensor;
  /** Whether a program wrote it: the host's bytes are older. */
  newer: boolean;
}

/** Element types that values stay on the device with. */
const STAYING: ReadonlySet<DataType> = new Set<DataType>(['float32', 'int32']);

/**
 * Values that stay on the device between runs, by the host's buffers that they stand for. Each is freed exactly once:
 * when its buffer is released or dropped, or when a program writes over it.
 */
export class DeviceValues implements DeviceMemory {
  private readonly buffers = new Map<ArrayBufferLike, Set<Placed>>();
  #bytes = 0;

  constructor(private readonly copier: Copier) {}

  /** What stays on the device now. */
  get bytes(): Bytes {
    return this.#bytes;
  }

  /** How many values stay on the device now. */
  get count(): number {
    let count = 0;
    for (const values of this.buffers.values()) count += values.size;
    return count;
  }

  own(buffer: ArrayBuffer): void {
    this.drop(buffer);
    this.buffers.set(buffer, new Set());
  }

  async release(buffer: ArrayBuffer): Promise<void> {
    await this.bringBack(buffer, 0, buffer.byteLength);
    this.buffers.delete(buffer);
  }

  drop(buffer: ArrayBufferLike): void {
    for (const value of this.buffers.get(buffer) ?? []) this.free(buffer, value);
    this.buffers.delete(buffer);
  }

  dropAll(): void {
    for (const buffer of [...this.buffers.keys()]) this.drop(buffer);
  }

  /** Whether what a program writes to the array stays on the device. */
  stays({ dtype }: Edge, { buffer, byteLength }: TensorData): boolean {
    return byteLength > 0 && STAYING.has(dtype) && this.buffers.has(buffer);
  }

  /** Bytes that reading the array adds to what is on the device. */
  missingBytes(edge: Edge, data: TensorData): Bytes {
    return this.find(edge, data) ? 0 : byteLengthOf({ ...edge.spec, dtype: edge.dtype });
  }

  /** What a program reads: the value on the device, brought there if its buffer is owned; else the host's. */
  async read(edge: Edge, data: TensorData): Promise<Tensor> {
    const found = this.find(edge, data);
    if (found) return found.tensor;
    const { buffer, byteOffset, byteLength } = data;
    // others stay there: the same run may read the same bytes as another value
    for (const value of this.within(buffer, byteOffset, byteOffset + byteLength))
      await this.refresh(buffer, value);
    const host = toDevice(edge, data);
    if (!this.stays(edge, data)) return host;
    const tensor = await this.copier.upload(host);
    this.place(edge, data, tensor, false);
    return tensor;
  }

  /** Whether a program wrote the array's bytes last: the host's are older. */
  isNewer({ buffer, byteOffset, byteLength }: TensorData): boolean {
    return this.within(buffer, byteOffset, byteOffset + byteLength).some(({ newer }) => newer);
  }

  /** Makes room for what a program is about to write. */
  async forget({ buffer, byteOffset, byteLength }: TensorData): Promise<void> {
    const end = byteOffset + byteLength;
    for (const value of this.within(buffer, byteOffset, end)) {
      if (byteOffset <= value.start && value.end <= end) this.free(buffer, value);
    }
    await this.bringBack(buffer, byteOffset, end);
  }

  /** Takes what a program has written. */
  write(edge: Edge, data: TensorData, tensor: Tensor): void {
    this.place(edge, data, tensor, true);
  }

  private place({ spec, dtype }: Edge, data: TensorData, tensor: Tensor, newer: boolean): void {
    const { buffer, byteOffset: start, byteLength } = data;
    this.buffers.get(buffer)!.add({ dtype, spec, start, end: start + byteLength, tensor, newer });
    this.#bytes += byteLengthOf({ ...spec, dtype });
  }

  private free(buffer: ArrayBufferLike, value: Placed): void {
    this.buffers.get(buffer)!.delete(value);
    this.#bytes -= byteLengthOf({ ...value.spec, dtype: value.dtype });
    value.tensor.dispose();
  }

  private within(buffer: ArrayBufferLike, start: Bytes, end: Bytes): readonly Placed[] {
    return [...(this.buffers.get(buffer) ?? [])].filter((value) => value.start < end && start < value.end);
  }

  private find({ spec, dtype }: Edge, { buffer, byteOffset, byteLength }: TensorData): Placed | undefined {
    const end = byteOffset + byteLength;
    return this.within(buffer, byteOffset, end).find(
      (value) =>
        value.start === byteOffset &&
        value.dtype === dtype &&
        value.spec.dtype === spec.dtype &&
        sameShape(value.spec.shape, spec.shape),
    );
  }

  /** Brings to the host what is newer on the device, and forgets all of it there. */
  private async bringBack(buffer: ArrayBufferLike, start: Bytes, end: Bytes): Promise<void> {
    for (const value of this.within(buffer, start, end)) {
      await this.refresh(buffer, value);
      this.free(buffer, value);
    }
  }

  /** Brings a value to the host if it is newer on the device. */
  private async refresh(buffer: ArrayBufferLike, value: Placed): Promise<void> {
    if (!value.newer) return;
    const host = await this.copier.download(value.tensor);
    fromDevice(value.spec, host, buffer, value.start);
    freeCopies([host], []);
    value.newer = false;
  }
}
