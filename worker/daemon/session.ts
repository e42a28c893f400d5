import { create } from '@bufbuild/protobuf';
import {
  credentials,
  Metadata,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
} from '@grpc/grpc-js';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { withDeadline, type Sha256 } from '../../base/index.js';
import {
  ARTIFACT_CHUNK_BYTES,
  ArtifactChunkSchema,
  ArtifactRequestSchema,
  CHANNEL_OPTIONS,
  ControlClientBase,
  FromWorkerSchema,
  type ArtifactChunk,
  type ArtifactReceipt,
  type FromWorker,
  type Hello,
  type ToWorker,
  type Welcome,
} from '../../protocol/index.js';
import { ArtifactError, CoordinatorError } from '../errors.js';

const CONNECT_SECONDS = 5;

export interface SessionEvents {
  message(message: ToWorker['message']): void;
  /** The coordinator ended the session, or cannot be reached any more. Comes once. */
  ended(error: CoordinatorError): void;
}

type Outgoing = NonNullable<FromWorker['message']>;

/** The methods that grpc-js makes from the service definition. */
interface ControlClient {
  join(metadata: Metadata): ClientDuplexStream<FromWorker, ToWorker>;
  getArtifact(request: unknown, metadata: Metadata): ClientReadableStream<ArtifactChunk>;
  putArtifact(
    callback: (error: Error | null, receipt?: ArtifactReceipt) => void,
  ): ClientWritableStream<ArtifactChunk>;
  waitForReady(deadline: number, callback: (error?: Error) => void): void;
  close(): void;
}

/** One gRPC session of a daemon with its coordinator. */
export class Session {
  private over = false;

  private constructor(
    private readonly client: ControlClient,
    private readonly stream: ClientDuplexStream<FromWorker, ToWorker>,
    readonly welcome: Welcome,
  ) {}

  /**
   * Joins the coordinator at `address` (HOST:PORT).
   * @throws CoordinatorError `coordinator_unreachable`, or the code of a refusal (`version_mismatch`, `name_taken`)
   */
  static async open(address: string, hello: Hello, events: SessionEvents): Promise<Session> {
    const client = new ControlClientBase(
      address,
      credentials.createInsecure(),
      CHANNEL_OPTIONS,
    ) as unknown as ControlClient;
    try {
      await new Promise<void>((resolve, reject) => {
        client.waitForReady(Date.now() + CONNECT_SECONDS * 1000, (error) =>
          error ? reject(error) : resolve(),
        );
      });
      const stream = client.join(new Metadata());
      return await withDeadline(
        Session.handshake(client, stream, address, hello, events),
        CONNECT_SECONDS,
        `the coordinator at ${address}: joining`,
      );
    } catch (error) {
      client.close();
      if (error instanceof CoordinatorError) throw error;
      throw new CoordinatorError(
        'coordinator_unreachable',
        `nothing answered as a dtrain coordinator at ${address}; start one with: dtrain coordinator`,
        { cause: error, retryable: true },
      );
    }
  }

  private static handshake(
    client: ControlClient,
    stream: ClientDuplexStream<FromWorker, ToWorker>,
    address: string,
    hello: Hello,
    events: SessionEvents,
  ): Promise<Session> {
    return new Promise((resolve, reject) => {
      let session: Session | undefined;
      const end = (error: CoordinatorError) => {
        reject(error);
        if (!session || session.over) return;
        session.over = true;
        events.ended(error);
      };
      const lost = (detail: string) =>
        end(
          new CoordinatorError(
            'coordinator_lost',
            `the session with the coordinator at ${address} ended: ${detail}`,
            {
              retryable: true,
            },
          ),
        );
      stream.on('error', (error: Error) => lost(error.message));
      stream.on('end', () => lost('it closed the stream'));
      stream.on('data', (received: ToWorker) => {
        const { message } = received;
        if (message.case === 'refusal') {
          end(
            new CoordinatorError(
              message.value.code,
              `the coordinator at ${address} refused this worker: ${message.value.message}`,
            ),
          );
        } else if (message.case === 'welcome') {
          session = new Session(client, stream, message.value);
          resolve(session);
        } else if (session && !session.over) {
          events.message(message);
        }
      });
      stream.write(create(FromWorkerSchema, { message: { case: 'hello', value: hello } }));
    });
  }

  send(message: Outgoing): void {
    if (!this.over) this.stream.write(create(FromWorkerSchema, { message }));
  }

  async *artifact(sha256: Sha256): AsyncIterable<Uint8Array> {
    const chunks = this.client.getArtifact(create(ArtifactRequestSchema, { sha256 }), new Metadata());
    try {
      for await (const chunk of chunks) yield (chunk as ArtifactChunk).data;
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      throw new ArtifactError(`the coordinator did not deliver artifact ${sha256}: ${detail}`, {
        cause: error,
      });
    }
  }

  /** Uploads a file whose hash is `sha256`; resolves when the coordinator has verified and kept it. */
  async putArtifact(sha256: Sha256, path: string): Promise<void> {
    const totalBytes = (await stat(path)).size;
    let call: ClientWritableStream<ArtifactChunk> | undefined;
    const received = new Promise<void>((resolve, reject) => {
      call = this.client.putArtifact((error) => (error ? reject(error) : resolve()));
    });
    received.catch(() => undefined); // awaited below; a failure while chunks are written must not go unhandled
    let first = true;
    for await (const data of createReadStream(path, { highWaterMark: ARTIFACT_CHUNK_BYTES })) {
      const head = first ? { sha256, totalBytes } : {};
      first = false;
      if (!call!.write(create(ArtifactChunkSchema, { ...head, data: data as Buffer }))) {
        await Promise.race([new Promise((resolve) => call!.once('drain', resolve)), received]);
      }
    }
    call!.end();
    await received;
  }

  close(): void {
    this.over = true;
    this.stream.end();
    this.stream.cancel();
    this.client.close();
  }
}
