import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bytes } from '../../base/index.js';
import { TransportError } from '../errors.js';

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
 * A lane in a file on an in-memory file system, read and written by position. Beside a memory mapping it costs
 * a system call a piece, and it needs no native code, cannot raise SIGBUS when the file system is full, and
 * leaves each process's memory to itself.
 */
export class FileLane implements Lane {
  private constructor(
    private readonly file: number,
    readonly slots: number,
    readonly slotBytes: Bytes,
  ) {}

  /**
   * Makes the file and all its memory, so that no later write can fail for want of it.
   * @returns undefined where the file system has no room (containers often get 64 MiB)
   */
  static create(path: string, slots: number, slotBytes: Bytes): FileLane | undefined {
    const file = openSync(path, 'wx+', 0o600);
    try {
      const zeros = new Uint8Array(Math.min(ZEROS_BYTES, slots * slotBytes));
      for (let at = 0; at < slots * slotBytes; at += zeros.length) {
        const part = Math.min(zeros.length, slots * slotBytes - at);
        if (writeSync(file, zeros, 0, part, at) < part)
          throw new TransportError('transport_failed', `${path} is full`);
      }
      return new FileLane(file, slots, slotBytes);
    } catch {
      closeSync(file);
      rmSync(path, { force: true });
      return undefined;
    }
  }

  /** Opens the file that the other side made; undefined where it is not there (another host or container). */
  static open(path: string, slots: number, slotBytes: Bytes): FileLane | undefined {
    try {
      return new FileLane(openSync(path, 'r+'), slots, slotBytes);
    } catch {
      return undefined;
    }
  }

  write(slot: number, payload: Uint8Array): void {
    const written = writeSync(this.file, payload, 0, payload.length, slot * this.slotBytes);
    if (written < payload.length)
      throw new TransportError(
        'transport_failed',
        `only ${written} of ${payload.length} bytes went into slot ${slot}`,
      );
  }

  read(slot: number, target: Uint8Array): void {
    const got = readSync(this.file, target, 0, target.length, slot * this.slotBytes);
    if (got < target.length)
      throw new TransportError(
        'transport_failed',
        `only ${got} of ${target.length} bytes are in slot ${slot}`,
      );
  }

  close(): void {
    closeSync(this.file);
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
