import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bytes } from '../../base/index.js';
import { CollectiveUsageError, TransportError } from '../errors.js';
import { mapFile, type Mapping } from './mapping.js';

/**
 * Slots of memory that both ends of an edge reach, so that a payload need not travel: the sender writes it
 * into a slot and sends a frame that says so; the receiver reads it to where it belongs.
 *
 * The two sides agree on slots by counting, so a slot is free again when its frame was acknowledged.
 */
export interface Lane {
  readonly slots: number;
  readonly slotBytes: Bytes;
  /** Copies the payload into a slot. It may be changed afterwards. */
  write(slot: number, payload: Uint8Array): void;
  /** Fills `target` from the start of a slot. */
  read(slot: number, target: Uint8Array): void;
}

/** Where Linux keeps files that live in memory only. */
const SHARED_MEMORY = '/dev/shm';
const ZEROS_BYTES = 2 ** 20;

/**
 * A lane in a file on an in-memory file system: mapped where this process can, else read and written by
 * position, which costs a system call a piece and copies half as fast. The two ends may differ in that.
 */
export class FileLane implements Lane {
  private mapping: Mapping | undefined;
  private closed = false;

  private constructor(
    private readonly file: number,
    readonly slots: number,
    readonly slotBytes: Bytes,
    map: boolean,
  ) {
    this.mapping = map ? mapFile(file, slots * slotBytes) : undefined;
  }

  /** Whether payloads are copied without a system call. */
  get mapped(): boolean {
    return this.mapping !== undefined;
  }

  /**
   * Makes the file and all its memory, so that no later write can fail (or, mapped, end the process) for want of it.
   * @param map whether to map it where that is possible
   * @returns undefined where the file system has no room (containers often get 64 MiB)
   */
  static create(path: string, slots: number, slotBytes: Bytes, map = true): FileLane | undefined {
    const file = openSync(path, 'wx+', 0o600);
    try {
      const zeros = new Uint8Array(Math.min(ZEROS_BYTES, slots * slotBytes));
      for (let at = 0; at < slots * slotBytes; at += zeros.length) {
        const part = Math.min(zeros.length, slots * slotBytes - at);
        if (writeSync(file, zeros, 0, part, at) < part) {
          throw new TransportError('transport_failed', `${path} is full`);
        }
      }
      return new FileLane(file, slots, slotBytes, map);
    } catch {
      closeSync(file);
      rmSync(path, { force: true });
      return undefined;
    }
  }

  /**
   * Opens the file that the other side made.
   * @returns undefined where it is not there, or not of that size: another host or container
   */
  static open(path: string, slots: number, slotBytes: Bytes, map = true): FileLane | undefined {
    let file: number;
    try {
      file = openSync(path, 'r+');
    } catch {
      return undefined;
    }
    if (fstatSync(file).size === slots * slotBytes) return new FileLane(file, slots, slotBytes, map);
    closeSync(file);
    return undefined;
  }

  write(slot: number, payload: Uint8Array): void {
    const at = this.offsetOf(slot, payload.length);
    if (this.mapping) {
      this.mapping.bytes.set(payload, at);
      return;
    }
    const written = writeSync(this.file, payload, 0, payload.length, at);
    if (written < payload.length) throw this.short('written to', slot, written, payload.length);
  }

  read(slot: number, target: Uint8Array): void {
    const at = this.offsetOf(slot, target.length);
    if (this.mapping) {
      target.set(this.mapping.bytes.subarray(at, at + target.length));
      return;
    }
    const got = readSync(this.file, target, 0, target.length, at);
    if (got < target.length) throw this.short('read from', slot, got, target.length);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.mapping?.unmap();
    this.mapping = undefined;
    closeSync(this.file);
  }

  private offsetOf(slot: number, bytes: Bytes): number {
    if (this.closed) throw new TransportError('edge_closed', 'the lane is closed');
    if (slot < 0 || slot >= this.slots || bytes > this.slotBytes) {
      throw new CollectiveUsageError(
        `${bytes} bytes in slot ${slot} of ${this.slots} of ${this.slotBytes} bytes`,
      );
    }
    return slot * this.slotBytes;
  }

  private short(what: string, slot: number, done: Bytes, wanted: Bytes): TransportError {
    return new TransportError(
      'transport_failed',
      `only ${done} of ${wanted} bytes were ${what} slot ${slot}`,
    );
  }
}

/** A fresh folder that only this user can enter, in memory where the system has such a place. */
export function privateFolder(): { readonly path: string; readonly inMemory: boolean } {
  try {
    return { path: mkdtempSync(join(SHARED_MEMORY, 'dtrain-')), inMemory: true };
  } catch {
    return { path: mkdtempSync(join(tmpdir(), 'dtrain-')), inMemory: false };
  }
}
