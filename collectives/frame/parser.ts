import { FrameError, type FrameFault } from '../errors.js';
import {
  FRAME_MAGIC,
  FRAME_VERSION,
  FrameKind,
  HEADER_BYTES,
  headerChecksum,
  Offset,
  payloadChecksum,
  type FrameHeader,
  type FrameIdentity,
} from './header.js';

/** Called for each frame, in order. Both arguments are valid only during the call. */
export type FrameSink = (header: Readonly<FrameHeader>, payload: Uint8Array) => void;

const NONE = new Uint8Array(0);
const KINDS: ReadonlySet<number> = new Set(Object.values(FrameKind));

/**
 * Cuts bytes into the frames of one direction of one edge and refuses, by name, whatever is not the next one:
 * of another job, epoch or sender, out of sequence, too long, or damaged. Touches no socket.
 *
 * Bytes may come in segments of any size. A payload that lies whole within a segment is passed on as a view,
 * without a copy. A header is judged before its payload is awaited. After the first refusal the parser
 * accepts nothing more: the same error is thrown again.
 */
export class FrameParser {
  private readonly headerBytes = Buffer.alloc(HEADER_BYTES);
  private readonly header: FrameHeader = {
    kind: FrameKind.data,
    operation: 0,
    wire: 0,
    collective: 0,
    bucket: 0,
    step: 0,
    piece: 0,
    elements: 0,
    sequence: 0,
    payloadBytes: 0,
    payloadChecksum: 0,
  };
  private headerFilled = 0;
  private payload: Uint8Array | undefined;
  private payloadFilled = 0;
  private expectedSequence = 0;
  private refusal: FrameError | undefined;

  /**
   * @param expected whose frames these have to be
   * @param job the job's name, for messages
   * @param maxPayloadBytes a longer payload is refused before it is read
   */
  constructor(
    private readonly expected: FrameIdentity,
    private readonly job: string,
    private readonly maxPayloadBytes: number,
    private readonly sink: FrameSink,
  ) {}

  /** @throws FrameError naming the fault; whatever the sink throws */
  push(segment: Uint8Array): void {
    if (this.refusal) throw this.refusal;
    let at = 0;
    while (at < segment.length) {
      if (this.headerFilled < HEADER_BYTES) {
        const taken = Math.min(HEADER_BYTES - this.headerFilled, segment.length - at);
        this.headerBytes.set(segment.subarray(at, at + taken), this.headerFilled);
        this.headerFilled += taken;
        at += taken;
        if (this.headerFilled < HEADER_BYTES) return;
        this.readHeader();
        if (this.inlineBytes === 0) this.finish(NONE);
        continue;
      }
      const wanted = this.inlineBytes;
      if (this.payload === undefined && segment.length - at >= wanted) {
        const whole = segment.subarray(at, at + wanted);
        at += wanted;
        this.finish(whole);
        continue;
      }
      this.payload ??= new Uint8Array(wanted);
      const taken = Math.min(wanted - this.payloadFilled, segment.length - at);
      this.payload.set(segment.subarray(at, at + taken), this.payloadFilled);
      this.payloadFilled += taken;
      at += taken;
      if (this.payloadFilled === wanted) this.finish(this.payload);
    }
  }

  /**
   * Says that a message of the transport ends here, where a frame has to end too.
   * @throws FrameError `truncated`
   */
  endOfMessage(): void {
    if (this.refusal) throw this.refusal;
    if (this.headerFilled === 0) return;
    const missing =
      this.headerFilled < HEADER_BYTES
        ? `${HEADER_BYTES - this.headerFilled} bytes of its header`
        : `${this.inlineBytes - this.payloadFilled} bytes of its payload`;
    this.refuse('truncated', `the frame ends early: ${missing} are missing`);
  }

  /** How many bytes follow the header: none when the payload lies in the lane (whoever reads it there checks it). */
  private get inlineBytes(): number {
    return this.header.kind === FrameKind.lane ? 0 : this.header.payloadBytes;
  }

  private readHeader(): void {
    const bytes = this.headerBytes;
    const magic = bytes.readUInt32LE(Offset.magic);
    if (magic !== FRAME_MAGIC) {
      this.refuse(
        'not_a_frame',
        `the bytes start with 0x${magic.toString(16)}, not with a frame's magic number`,
      );
    }
    const version = bytes[Offset.version]!;
    if (version !== FRAME_VERSION) {
      this.refuse(
        'wrong_version',
        `the frame has version ${version}; this build reads version ${FRAME_VERSION}`,
      );
    }
    if (headerChecksum(bytes) !== bytes.readUInt32LE(Offset.headerChecksum)) {
      this.refuse('corrupt_header', 'the header does not match its CRC-32');
    }
    this.checkIdentity();
    const { header } = this;
    const kind = bytes[Offset.kind]!;
    if (!KINDS.has(kind)) this.refuse('not_a_frame', `kind ${kind} is unknown`);
    header.kind = kind as FrameKind;
    header.sequence =
      bytes.readUInt32LE(Offset.sequenceLow) + bytes.readUInt32LE(Offset.sequenceHigh) * 2 ** 32;
    // An abort may be ahead: its sender dropped what it had queued.
    const overtakes = kind === FrameKind.abort && header.sequence > this.expectedSequence;
    if (header.sequence !== this.expectedSequence && !overtakes) {
      const happened = header.sequence > this.expectedSequence ? 'frames were lost' : 'a frame came again';
      this.refuse(
        'wrong_sequence',
        `frame ${header.sequence} came where ${this.expectedSequence} was due: ${happened}`,
      );
    }
    header.payloadBytes = bytes.readUInt32LE(Offset.payloadBytes);
    if (header.payloadBytes > this.maxPayloadBytes) {
      this.refuse(
        'too_long',
        `the payload has ${header.payloadBytes} bytes; at most ${this.maxPayloadBytes} were agreed`,
      );
    }
    header.operation = bytes[Offset.operation]!;
    header.wire = bytes[Offset.wire]!;
    header.collective = bytes.readUInt32LE(Offset.collective);
    header.bucket = bytes.readUInt32LE(Offset.bucket);
    header.step = bytes.readUInt32LE(Offset.step);
    header.piece = bytes.readUInt32LE(Offset.piece);
    header.elements = bytes.readUInt32LE(Offset.elements);
    header.payloadChecksum = bytes.readUInt32LE(Offset.payloadChecksum);
  }

  private checkIdentity(): void {
    const bytes = this.headerBytes;
    const { expected } = this;
    if (
      bytes.readUInt32LE(Offset.jobLow) !== expected.jobLow ||
      bytes.readUInt32LE(Offset.jobHigh) !== expected.jobHigh
    ) {
      this.refuse('foreign_job', `the frame belongs to another job than ${this.job}`);
    }
    const epoch = bytes.readUInt32LE(Offset.epoch);
    if (epoch < expected.epoch) {
      this.refuse(
        'stale_epoch',
        `the frame is from membership epoch ${epoch}; the current one is ${expected.epoch}`,
      );
    }
    if (epoch > expected.epoch) {
      this.refuse(
        'future_epoch',
        `the frame is from membership epoch ${epoch}; this rank is still in ${expected.epoch}`,
      );
    }
    const sender = bytes.readUInt32LE(Offset.sender);
    if (sender !== expected.sender) {
      this.refuse(
        'wrong_sender',
        `the frame says that it is from rank ${sender}; this edge belongs to rank ${expected.sender}`,
      );
    }
  }

  private finish(payload: Uint8Array): void {
    if (this.header.kind !== FrameKind.lane && payloadChecksum(payload) !== this.header.payloadChecksum) {
      this.refuse(
        'corrupt_payload',
        `the payload of frame ${this.header.sequence} does not match its CRC-32`,
      );
    }
    this.headerFilled = 0;
    this.payload = undefined;
    this.payloadFilled = 0;
    this.expectedSequence = this.header.sequence + 1;
    this.sink(this.header, payload);
  }

  private refuse(fault: FrameFault, what: string): never {
    this.refusal = new FrameError(fault, `from rank ${this.expected.sender}: ${what}`, {
      ids: { job: this.job, epoch: this.expected.epoch, sender: this.expected.sender },
    });
    throw this.refusal;
  }
}
