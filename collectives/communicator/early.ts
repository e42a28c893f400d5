import type { FrameHeader } from '../frame/header.js';
import type { RingOptions } from './options.js';

export interface HeldFrame {
  readonly header: FrameHeader;
  readonly payload: Uint8Array;
}

/** Frames of collectives that the left neighbour has issued and this rank has not yet: no more than windows allow. */
export class EarlyFrames {
  private readonly held = new Map<number, HeldFrame[]>();

  constructor(private readonly options: Pick<RingOptions, 'window' | 'inFlight'>) {}

  /** Keeps a frame. @returns whether there was room for it */
  hold(header: Readonly<FrameHeader>, payload: Uint8Array): boolean {
    const { window, inFlight } = this.options;
    const frames = this.held.get(header.collective) ?? [];
    if (frames.length >= window || (frames.length === 0 && this.held.size >= inFlight)) return false;
    frames.push({ header: { ...header }, payload });
    this.held.set(header.collective, frames);
    return true;
  }

  /** Gives out what has come of a collective, in order. */
  take(collective: number): readonly HeldFrame[] {
    const frames = this.held.get(collective) ?? [];
    this.held.delete(collective);
    return frames;
  }

  clear(): void {
    this.held.clear();
  }
}
