import { FrameEncoder, frameIdentity, payloadChecksum, type FrameFields } from '../frame/header.js';
import { FrameParser, type FrameSink } from '../frame/parser.js';
import type { Edge, EdgeListener, Member, Message } from '../transport/transport.js';

/** An edge that carries frames: numbers and checks those of its two directions. */
export class Channel {
  private readonly encoder: FrameEncoder;
  /** The peer said goodbye: whatever happens to the connection now is in order. */
  peerLeft = false;
  /** Resolves when nothing more has to be said or heard: the peer has read our goodbye, or is gone. */
  readonly settled: Promise<void>;
  private settle: () => void = () => undefined;

  constructor(
    readonly edge: Edge,
    private readonly member: Member,
    private readonly maxPayloadBytes: number,
  ) {
    this.encoder = new FrameEncoder(frameIdentity(member.job, member.epoch, member.rank));
    this.settled = new Promise((resolve) => (this.settle = resolve));
  }

  /** The peer has confirmed our goodbye, or can no longer do so. */
  finish(): void {
    this.settle();
  }

  get peer(): number {
    return this.edge.peer;
  }

  /**
   * Starts delivery.
   * @param sink called for each good frame
   * @param failed called with what a bad frame, the sink or the edge raised; the channel is of no use afterwards
   */
  listen(sink: FrameSink, failed: (error: unknown) => void): void {
    const { job, epoch } = this.member;
    const parser = new FrameParser(frameIdentity(job, epoch, this.peer), job, this.maxPayloadBytes, sink);
    const listener: EdgeListener = {
      message: (parts) => {
        try {
          for (const part of parts) parser.push(part);
          parser.endOfMessage();
        } catch (error) {
          failed(error);
        }
      },
      closed: (error) => failed(error),
    };
    this.edge.listen(listener);
  }

  /** @throws TransportError as `Edge.send` */
  send(fields: FrameFields, payload: Uint8Array): void {
    this.edge.send(this.message(fields, payload));
  }

  /** Announces a payload that was written into the edge's lane. @throws TransportError as `Edge.send` */
  sendLane(fields: FrameFields, payloadBytes: number, checksum: number): void {
    this.edge.send([this.encoder.encode(fields, payloadBytes, checksum)]);
  }

  /** The next frame as a message. It takes a sequence number, so it must be sent. */
  message(fields: FrameFields, payload: Uint8Array): Message {
    const header = this.encoder.encode(fields, payload.length, payloadChecksum(payload));
    return payload.length === 0 ? [header] : [header, payload];
  }
}
