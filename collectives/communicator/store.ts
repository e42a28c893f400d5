import type { Kernels, WireFormat } from '../kernels/kernels.js';

/** The values of one collective, as the ring sees them: elements that are read into payloads and written from them. */
export interface ElementStore {
  readonly length: number;
  /** Bytes of an element on the wire. */
  readonly wireBytes: number;
  /** The code of the wire format in frames. */
  readonly wireCode: number;
  /** The kernels that reach the values; undefined where they lie outside the arena (and cannot use a lane). */
  readonly kernels: Kernels | undefined;
  /**
   * The payload for elements [start, end). It stays valid, and must stay unchanged, until it was acknowledged.
   * @param slot the staging slot that may be used
   * @param round whether the elements take on the values that the receivers will have
   */
  read(start: number, end: number, slot: number, round: boolean): Uint8Array;
  /**
   * Puts a payload in the place of elements [start, end), or adds it to them.
   * @param fill copies the payload, which has exactly that many bytes, to where it is needed
   */
  write(start: number, end: number, fill: (target: Uint8Array) => void, add: boolean): void;
}

const WIRE_CODE: Readonly<Record<WireFormat, number>> = { float32: 0, float16: 1, bfloat16: 2 };
const FLOAT64_CODE = 3;

/** Memory and arithmetic that the stores of one communicator share. */
export interface Workbench {
  readonly kernels: Kernels;
  /** The arena's memory as bytes. */
  readonly memory: Uint8Array;
  /** Byte offset of room for one received piece. */
  readonly scratch: number;
  /** Byte offset of staging slot `slot`. */
  staging(slot: number): number;
}

/** A float32 bucket in the arena that travels as it is. */
export class Float32Store implements ElementStore {
  readonly wireBytes = 4;
  readonly wireCode = WIRE_CODE.float32;
  readonly length: number;
  readonly kernels: Kernels;
  private readonly offset: number;

  constructor(
    values: Float32Array,
    private readonly bench: Workbench,
  ) {
    this.kernels = bench.kernels;
    this.length = values.length;
    this.offset = values.byteOffset;
  }

  read(start: number, end: number): Uint8Array {
    return this.bench.memory.subarray(this.offset + 4 * start, this.offset + 4 * end);
  }

  write(start: number, end: number, fill: (target: Uint8Array) => void, add: boolean): void {
    const { memory, kernels, scratch } = this.bench;
    if (add) {
      fill(memory.subarray(scratch, scratch + 4 * (end - start)));
      kernels.add(this.offset + 4 * start, scratch, end - start);
    } else {
      fill(memory.subarray(this.offset + 4 * start, this.offset + 4 * end));
    }
  }
}

/** A float32 bucket in the arena that travels in 16 bits. Sums are float32; each hop rounds the partial sum once. */
export class PackedStore implements ElementStore {
  readonly wireBytes = 2;
  readonly wireCode: number;
  readonly length: number;
  readonly kernels: Kernels;
  private readonly offset: number;
  private readonly pack: Kernels['packFloat16'];
  private readonly round: Kernels['roundFloat16'];
  private readonly unpack: Kernels['unpackFloat16'];
  private readonly addPacked: Kernels['addFloat16'];

  constructor(
    values: Float32Array,
    wire: 'float16' | 'bfloat16',
    private readonly bench: Workbench,
  ) {
    const { kernels } = bench;
    this.kernels = kernels;
    this.wireCode = WIRE_CODE[wire];
    this.length = values.length;
    this.offset = values.byteOffset;
    this.pack = wire === 'float16' ? kernels.packFloat16 : kernels.packBfloat16;
    this.round = wire === 'float16' ? kernels.roundFloat16 : kernels.roundBfloat16;
    this.unpack = wire === 'float16' ? kernels.unpackFloat16 : kernels.unpackBfloat16;
    this.addPacked = wire === 'float16' ? kernels.addFloat16 : kernels.addBfloat16;
  }

  read(start: number, end: number, slot: number, round: boolean): Uint8Array {
    const at = this.bench.staging(slot);
    const values = this.offset + 4 * start;
    (round ? this.round : this.pack)(at, values, end - start);
    return this.bench.memory.subarray(at, at + 2 * (end - start));
  }

  write(start: number, end: number, fill: (target: Uint8Array) => void, add: boolean): void {
    const { memory, scratch } = this.bench;
    fill(memory.subarray(scratch, scratch + 2 * (end - start)));
    const values = this.offset + 4 * start;
    if (add) this.addPacked(values, scratch, end - start);
    else this.unpack(values, scratch, end - start);
  }
}

/** Float64 values outside the arena, gathered and never added on the way: small control values. */
export class Float64Store implements ElementStore {
  readonly wireBytes = 8;
  readonly wireCode = FLOAT64_CODE;
  readonly kernels = undefined;
  readonly length: number;
  private readonly bytes: Uint8Array;

  constructor(values: Float64Array) {
    this.length = values.length;
    this.bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  }

  read(start: number, end: number): Uint8Array {
    return this.bytes.subarray(8 * start, 8 * end);
  }

  write(start: number, end: number, fill: (target: Uint8Array) => void): void {
    fill(this.bytes.subarray(8 * start, 8 * end));
  }
}
