import { closeSync, readSync } from 'node:fs';
import { DataError } from '../errors.js';

/**
 * Random access to the bytes of an opened file, whether they are held in memory or read when asked for.
 *
 * `locate` makes a range present in the window (`bytes`, and `view` on the same memory) and says at which index
 * of the window it begins. The range stays there until the next `locate`; nothing is allocated for each call.
 */
export interface ByteSource {
  /** The name that messages give the file. */
  readonly name: string;
  /** Bytes in all. */
  readonly length: number;
  /** Bytes of memory held. */
  readonly heldBytes: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  locate(offset: number, count: number): number;
  close(): void;
}

/** `count` bytes from `offset`, valid until the next `locate`. For headers: it makes two small objects. */
export function piece(source: ByteSource, offset: number, count: number): DataView {
  const at = source.locate(offset, count); // before `view` is read: locate may replace it
  return new DataView(source.view.buffer, source.view.byteOffset + at, count);
}

/** Bytes in memory: the window is all of them. */
export class MemorySource implements ByteSource {
  readonly length: number;
  readonly heldBytes: number;
  readonly view: DataView;

  constructor(
    readonly name: string,
    readonly bytes: Uint8Array,
  ) {
    this.length = bytes.byteLength;
    this.heldBytes = bytes.buffer.byteLength;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  locate(offset: number): number {
    return offset;
  }

  close(): void {
    // nothing is open
  }
}

/** A file that is read where it lies: the window is a buffer as large as the largest range asked for. */
export class FileSource implements ByteSource {
  bytes = new Uint8Array(0);
  view = new DataView(this.bytes.buffer);
  private open = true;

  /** Takes over the descriptor. */
  constructor(
    readonly name: string,
    private readonly descriptor: number,
    readonly length: number,
  ) {}

  get heldBytes(): number {
    return this.bytes.byteLength;
  }

  /** @throws DataError `data_truncated` where the file has become shorter since it was opened */
  locate(offset: number, count: number): number {
    if (this.bytes.byteLength < count) {
      this.bytes = new Uint8Array(count);
      this.view = new DataView(this.bytes.buffer);
    }
    let done = 0;
    while (done < count) {
      const got = readSync(this.descriptor, this.bytes, done, count - done, offset + done);
      if (got === 0) {
        throw new DataError(
          'data_truncated',
          `${this.name}: ended at byte ${offset + done}, but had ${this.length} bytes when it was opened; ` +
            'leave data files as they are while a job runs',
          { file: this.name, found: offset + done, accepted: this.length },
        );
      }
      done += got;
    }
    return 0;
  }

  close(): void {
    if (this.open) closeSync(this.descriptor);
    this.open = false;
  }
}
