import { create } from '@bufbuild/protobuf';
import { Metadata, type ClientReadableStream, type ClientWritableStream } from '@grpc/grpc-js';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Clock, Seconds, Sha256 } from '../../base/index.js';
import {
  ARTIFACT_CHUNK_BYTES,
  ArtifactChunkSchema,
  ArtifactRequestSchema,
  type ArtifactChunk,
  type ArtifactReceipt,
} from '../../protocol/index.js';
import { ArtifactError } from '../errors.js';

/** The two calls of the control service that carry files. */
export interface ArtifactCalls {
  getArtifact(request: unknown, metadata: Metadata): ClientReadableStream<ArtifactChunk>;
  putArtifact(
    callback: (error: Error | null, receipt?: ArtifactReceipt) => void,
  ): ClientWritableStream<ArtifactChunk>;
}

/** A transfer in which nothing moves for so long is given up. */
const IDLE_SECONDS: Seconds = 30;

/** Files between a daemon and its coordinator, by content hash, over one gRPC channel. */
export class Transfers {
  private readonly open = new Set<{ cancel(): void }>();

  constructor(
    private readonly calls: ArtifactCalls,
    private readonly address: string,
    private readonly clock: Clock,
  ) {}

  /**
   * The bytes of an artifact.
   * @throws ArtifactError saying what the coordinator said, or that nothing came for 30 s
   */
  async *get(sha256: Sha256): AsyncIterable<Uint8Array> {
    const call = this.calls.getArtifact(create(ArtifactRequestSchema, { sha256 }), new Metadata());
    const watch = this.watch(call);
    try {
      for await (const chunk of call) {
        watch.moved();
        yield (chunk as ArtifactChunk).data;
      }
    } catch (error) {
      throw this.failed(`did not deliver artifact ${sha256}`, watch, error);
    } finally {
      watch.end();
      call.cancel(); // the reader may have had enough
    }
  }

  /**
   * Hands over a file whose hash is `sha256`; resolves when the coordinator has verified and kept it.
   * @throws ArtifactError saying what the coordinator said, or that nothing moved for 30 s
   */
  async put(sha256: Sha256, path: string): Promise<void> {
    const totalBytes = (await stat(path)).size;
    let settle!: (error: Error | null) => void;
    const receipt = new Promise<void>((resolve, reject) => {
      settle = (error) => (error ? reject(error) : resolve());
    });
    receipt.catch(() => undefined); // awaited below; a failure while chunks are written must not go unhandled
    const call = this.calls.putArtifact((error) => settle(error));
    const watch = this.watch(call);
    try {
      let head: { sha256?: string; totalBytes?: number } = { sha256, totalBytes };
      for await (const data of createReadStream(path, { highWaterMark: ARTIFACT_CHUNK_BYTES })) {
        const flowing = call.write(create(ArtifactChunkSchema, { ...head, data: data as Buffer }));
        head = {};
        if (!flowing) {
          await Promise.race([new Promise((resolve) => call.once('drain', resolve)), receipt]);
        }
        watch.moved();
      }
      // an empty file still has a first chunk, with the hash
      if ('sha256' in head) call.write(create(ArtifactChunkSchema, head));
      call.end();
      await receipt;
    } catch (error) {
      throw this.failed(`did not take artifact ${sha256}`, watch, error);
    } finally {
      watch.end();
      call.cancel();
    }
  }

  /** Ends all transfers under way. */
  cancel(): void {
    for (const call of this.open) call.cancel();
  }

  private watch(call: { cancel(): void }): { moved(): void; end(): void; readonly idle: boolean } {
    this.open.add(call);
    let idle = false;
    const expire = () => {
      idle = true;
      call.cancel();
    };
    let stop = this.clock.after(IDLE_SECONDS, expire);
    return {
      moved: () => {
        stop();
        stop = this.clock.after(IDLE_SECONDS, expire);
      },
      end: () => {
        stop();
        this.open.delete(call);
      },
      get idle() {
        return idle;
      },
    };
  }

  private failed(what: string, { idle }: { idle: boolean }, cause: unknown): ArtifactError {
    const detail = idle
      ? `nothing moved for ${IDLE_SECONDS} s`
      : cause instanceof Error
        ? cause.message
        : String(cause);
    return new ArtifactError(`the coordinator at ${this.address} ${what}: ${detail}`, {
      cause,
      retryable: true,
    });
  }
}
