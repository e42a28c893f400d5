import { create } from '@bufbuild/protobuf';
import {
  status,
  type ServerReadableStream,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { once } from 'node:events';
import { reportOf } from '../../base/index.js';
import {
  ARTIFACT_CHUNK_BYTES,
  ArtifactChunkSchema,
  ArtifactReceiptSchema,
  type ArtifactChunk,
  type ArtifactReceipt,
  type ArtifactRequest,
} from '../../protocol/index.js';
import type { ArtifactStore } from '../artifacts/index.js';
import { RequestError } from '../errors.js';

/** `GetArtifact`: sends as fast as the daemon reads, one chunk in memory. */
export function serveGetArtifact(
  artifacts: ArtifactStore,
): (call: ServerWritableStream<ArtifactRequest, ArtifactChunk>) => void {
  return (call) => {
    // an error event is how grpc-js is told the status of a stream
    send(artifacts, call).catch((error: unknown) => call.emit('error', statusOf(error)));
  };
}

async function send(
  artifacts: ArtifactStore,
  call: ServerWritableStream<ArtifactRequest, ArtifactChunk>,
): Promise<void> {
  const { sha256 } = call.request;
  const totalBytes = await artifacts.size(sha256);
  if (totalBytes === undefined)
    throw new RequestError('artifact_not_found', `there is no artifact ${sha256}`);
  // an empty artifact still has a first chunk, with the hash
  let head: { sha256: string; totalBytes: number } | undefined = { sha256, totalBytes };
  const ended = new AbortController();
  call.once('cancelled', () => ended.abort());
  call.once('close', () => ended.abort());
  const file = artifacts.read(sha256, ARTIFACT_CHUNK_BYTES);
  try {
    for await (const data of file) {
      if (ended.signal.aborted) return;
      const flowing = call.write(create(ArtifactChunkSchema, { ...head, data: data as Buffer }));
      head = undefined;
      if (!flowing) await once(call, 'drain', { signal: ended.signal });
    }
    if (head) call.write(create(ArtifactChunkSchema, head));
    call.end();
  } catch (error) {
    if (!ended.signal.aborted) throw error;
  } finally {
    file.destroy();
  }
}

/** `PutArtifact`: the receipt is sent once the bytes are verified and on disk. */
export function servePutArtifact(
  artifacts: ArtifactStore,
): (
  call: ServerReadableStream<ArtifactChunk, ArtifactReceipt>,
  answer: sendUnaryData<ArtifactReceipt>,
) => void {
  return (call, answer) => {
    receive(artifacts, call).then(
      (receipt) => answer(null, receipt),
      (error: unknown) => answer(statusOf(error)),
    );
  };
}

async function receive(
  artifacts: ArtifactStore,
  call: ServerReadableStream<ArtifactChunk, ArtifactReceipt>,
): Promise<ArtifactReceipt> {
  const chunks = (call as AsyncIterable<ArtifactChunk>)[Symbol.asyncIterator]();
  const first = await chunks.next();
  if (first.done) throw new RequestError('no_artifact', 'the stream held no chunk; the first names the hash');
  const { sha256, data } = first.value;
  const bytes = await artifacts.put(sha256, withFirst(data, chunks));
  return create(ArtifactReceiptSchema, { sha256, bytes });
}

async function* withFirst(first: Uint8Array, rest: AsyncIterator<ArtifactChunk>): AsyncIterable<Uint8Array> {
  yield first;
  for (;;) {
    const next = await rest.next();
    if (next.done) return;
    yield next.value.data;
  }
}

/** An error as gRPC tells it. */
function statusOf(error: unknown): Error & { code: status; details: string } {
  const { code, message, family } = reportOf(error);
  const known: Readonly<Record<string, status>> = {
    artifact_not_found: status.NOT_FOUND,
    artifact_hash_mismatch: status.DATA_LOSS,
    artifact_too_large: status.RESOURCE_EXHAUSTED,
    disk: status.RESOURCE_EXHAUSTED,
  };
  const fallback = family === 'user' ? status.INVALID_ARGUMENT : status.INTERNAL;
  return Object.assign(new RequestError(code, message), { code: known[code] ?? fallback, details: message });
}
