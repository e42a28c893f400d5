import { open, type FileHandle } from 'node:fs/promises';
import { bfloat16ToNumber, float16ToNumber } from '../ir/half.js';
import { bytesPerElement, dataFromBytes, type DataType } from '../ir/tensor.js';
import { WeightsError } from './errors.js';
import { headerEnd, LENGTH_BYTES, parseHeader, type Entry } from './header.js';

/** Values are copied, and those of another type than float32 converted, in pieces of so many bytes. */
const PIECE_BYTES = 2 ** 20;

/** A safetensors file on disk: its header in memory, its tensors read one at a time, by offset. */
export class SafetensorsFile {
  /** Values of 16-bit floats by their bits, made when first needed. */
  private readonly tables = new Map<DataType, Float32Array>();

  private constructor(
    private readonly handle: FileHandle,
    private readonly dataStart: number,
    /** In the header's order. */
    readonly entries: readonly Entry[],
    readonly metadata: ReadonlyMap<string, string>,
    private readonly source: string,
  ) {}

  /**
   * Reads and checks the header: see `parseHeader`. Call `close` in any case.
   * @param source names the file in messages
   * @throws WeightsError; what the file system says
   */
  static async open(path: string, source: string): Promise<SafetensorsFile> {
    const handle = await open(path);
    try {
      const { size } = await handle.stat();
      const start = new Uint8Array(Math.min(LENGTH_BYTES, size));
      await fill(handle, start, 0, source);
      const end = headerEnd(start, size, source);
      const header = new Uint8Array(end - LENGTH_BYTES);
      await fill(handle, header, LENGTH_BYTES, source);
      const { entries, metadata } = parseHeader(header, size - end, source);
      return new SafetensorsFile(handle, end, entries, metadata, source);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Whether `read` can give these values as float32. */
  static readable(dtype: DataType): boolean {
    return dtype === 'float32' || dtype === 'float64' || dtype === 'float16' || dtype === 'bfloat16';
  }

  /**
   * Reads a tensor's values, rounded to float32, into `target`, which has its size. Takes no memory for float32, a
   * piece's worth for other types.
   * @throws WeightsError when the file is shorter than it was
   */
  async read(entry: Entry, target: Float32Array): Promise<void> {
    const start = this.dataStart + entry.start;
    if (entry.dtype === 'float32') {
      const bytes = new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
      await fill(this.handle, bytes, start, this.source);
      return;
    }
    const width = bytesPerElement(entry.dtype);
    const elements = PIECE_BYTES / width;
    const piece = new Uint8Array(Math.min(PIECE_BYTES, width * target.length));
    for (let done = 0; done < target.length; done += elements) {
      const bytes = piece.subarray(0, width * Math.min(elements, target.length - done));
      await fill(this.handle, bytes, start + width * done, this.source);
      const values = dataFromBytes(entry.dtype, bytes);
      const table = this.tableOf(entry.dtype);
      for (let i = 0; i < values.length; i++) {
        const value = Number(values[i]);
        target[done + i] = table ? table[value]! : value;
      }
    }
  }

  /**
   * Copies a tensor's bytes as they are to a place in another file, a piece at a time.
   * @throws WeightsError when the file is shorter than it was
   */
  async copy(entry: Entry, to: FileHandle, position: number): Promise<void> {
    const bytes = entry.end - entry.start;
    const piece = new Uint8Array(Math.min(PIECE_BYTES, bytes));
    for (let done = 0; done < bytes; done += piece.byteLength) {
      const part = piece.subarray(0, Math.min(piece.byteLength, bytes - done));
      await fill(this.handle, part, this.dataStart + entry.start + done, this.source);
      await drain(to, part, position + done);
    }
  }

  async close(): Promise<void> {
    await this.handle.close();
  }

  private tableOf(dtype: DataType): Float32Array | undefined {
    if (dtype !== 'float16' && dtype !== 'bfloat16') return undefined;
    let table = this.tables.get(dtype);
    if (!table) {
      const numberOf = dtype === 'float16' ? float16ToNumber : bfloat16ToNumber;
      table = Float32Array.from({ length: 2 ** 16 }, (_, bits) => numberOf(bits));
      this.tables.set(dtype, table);
    }
    return table;
  }
}

/** Fills `bytes` from the file: one read may bring less than was asked for. */
async function fill(handle: FileHandle, bytes: Uint8Array, position: number, source: string): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) {
    const { bytesRead } = await handle.read(bytes, done, bytes.byteLength - done, position + done);
    if (bytesRead === 0) throw new WeightsError(`${source}: the file became shorter while it was read`);
    done += bytesRead;
  }
}

/** Writes all of `bytes`: one write may take less than it was given. */
export async function drain(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done, position + done);
    done += bytesWritten;
  }
}
