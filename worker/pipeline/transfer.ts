import { InvariantError } from '../../base/index.js';
import type { Inbox, MessageTag, Outbox } from '../../collectives/index.js';
import { byteLengthOf } from '../../graph/index.js';
import type { BatchLayout, Field } from '../run/batch-layout.js';
import type { Hop } from './routes.js';
import { slicesOf, type Slice } from './slices.js';

/** A value of a transfer, where a buffer holds it. */
interface Part {
  readonly field: Field;
  /** Number of its messages. */
  readonly part: number;
  readonly value: string;
}

/** Streams of a rank by the rank at the other end. */
export interface Streams {
  readonly inboxes: ReadonlyMap<number, Inbox>;
  readonly outboxes: ReadonlyMap<number, Outbox>;
}

/** Which micro-batch of which step. */
export interface Moment {
  readonly step: number;
  readonly microBatch: number;
}

/** What a transfer moves. */
export interface Moved {
  /** The same at both ends, and of no other transfer between the same ranks. */
  readonly channel: string;
  /** The values' names on the wire with the fields that hold them here; the same names at both ends. */
  readonly values: readonly { readonly value: string; readonly at: string }[];
  readonly layout: BatchLayout;
  readonly axisOf: (value: string) => number | undefined;
  /** Samples that the layout is for. */
  readonly samples: number;
}

/**
 * Moves the values of one boundary between stages for one rank and one number of samples: what each hop is to have
 * of them, in one message a value and hop.
 */
export class Transfer {
  private readonly parts: readonly Part[];

  constructor(
    private readonly moved: Moved,
    private readonly streams: Streams,
  ) {
    const names = moved.values.map(({ value }) => value).sort();
    this.parts = moved.values.map(({ value, at }) => ({
      field: moved.layout.fields.get(at)!,
      part: names.indexOf(value),
      value,
    }));
  }

  /** Sends to each hop its samples; what is the same for all samples to those hops that `takes` says. Resolves when all has arrived. */
  async send(buffer: ArrayBuffer, hops: readonly Hop[], { step, microBatch }: Moment): Promise<void> {
    const sent: Promise<void>[] = [];
    for (const hop of hops) {
      const outbox = this.streams.outboxes.get(hop.peer);
      if (!outbox) throw new InvariantError(`no stream leads to rank ${hop.peer}`);
      for (const part of this.parts) {
        const slices = this.slices(part, hop, hops);
        if (slices === undefined && !hop.first) continue;
        const tag: MessageTag = { channel: this.moved.channel, step, microBatch, part: part.part };
        sent.push(outbox.send(tag, packed(buffer, part.field, slices ?? wholeOf(part))));
      }
    }
    await Promise.all(sent);
  }

  /**
   * Fills the buffer from all hops. What is the same for all samples comes from the hops that are marked `first`, and is
   * the sum of what they send; zero where there is none.
   */
  async receive(buffer: ArrayBuffer, hops: readonly Hop[], { step, microBatch }: Moment): Promise<void> {
    const received: Promise<void>[] = [];
    for (const part of this.parts) {
      const { field } = part;
      const whole = new Uint8Array(buffer, field.byteOffset, byteLengthOf(field));
      const from = hops
        .map((hop) => ({ ...hop, own: this.slices(part, hop, hops) }))
        .filter(({ first, own }) => own !== undefined || first);
      const summed = from.length > 1 && from[0]!.own === undefined;
      if (from.length === 0 || summed) whole.fill(0);
      for (const hop of from) {
        const inbox = this.streams.inboxes.get(hop.peer);
        if (!inbox) throw new InvariantError(`no stream comes from rank ${hop.peer}`);
        const slices = hop.own ?? wholeOf(part);
        const tag: MessageTag = { channel: this.moved.channel, step, microBatch, part: part.part };
        const direct = slices.length === 1 && !summed;
        const into = direct
          ? new Uint8Array(buffer, field.byteOffset + slices[0]!.offset, slices[0]!.bytes)
          : new Uint8Array(slices.reduce((sum, { bytes }) => sum + bytes, 0));
        const message = inbox.receive(tag, into);
        received.push(
          direct ? message : message.then(() => (summed ? addTo(whole, into) : unpack(into, whole, slices))),
        );
      }
    }
    await Promise.all(received);
  }

  /** What a hop has of a value; undefined where the value is the same for all samples. */
  private slices(part: Part, { from, to, first }: Hop, hops: readonly Hop[]): readonly Slice[] | undefined {
    const { samples, axisOf } = this.moved;
    // one hop for all of it: where the samples are makes no difference
    if (hops.length === 1 && first && from === 0 && to === samples) return wholeOf(part);
    const axis = axisOf(part.value);
    return axis === undefined ? undefined : slicesOf(part.field, axis, samples, from, to);
  }
}

function wholeOf({ field }: Part): readonly Slice[] {
  return [{ offset: 0, bytes: byteLengthOf(field) }];
}

/** The slices as one message: a view where there is one. */
function packed(buffer: ArrayBuffer, { byteOffset }: Field, slices: readonly Slice[]): Uint8Array {
  const [only] = slices;
  if (slices.length === 1) return new Uint8Array(buffer, byteOffset + only!.offset, only!.bytes);
  const bytes = new Uint8Array(slices.reduce((sum, slice) => sum + slice.bytes, 0));
  let at = 0;
  for (const slice of slices) {
    bytes.set(new Uint8Array(buffer, byteOffset + slice.offset, slice.bytes), at);
    at += slice.bytes;
  }
  return bytes;
}

function unpack(from: Uint8Array, whole: Uint8Array, slices: readonly Slice[]): void {
  let at = 0;
  for (const { offset, bytes } of slices) {
    whole.set(from.subarray(at, at + bytes), offset);
    at += bytes;
  }
}

/** Gradients are float32. */
function addTo(whole: Uint8Array, more: Uint8Array): void {
  const sum = new Float32Array(whole.buffer, whole.byteOffset, whole.byteLength / 4);
  const values = new Float32Array(more.buffer, more.byteOffset, more.byteLength / 4);
  for (let i = 0; i < sum.length; i++) sum[i]! += values[i]!;
}
