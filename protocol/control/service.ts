import { fromBinary, toBinary, type DescMessage, type DescMethod } from '@bufbuild/protobuf';
import { makeGenericClientConstructor, type MethodDefinition, type ServiceDefinition } from '@grpc/grpc-js';
import { Control } from './gen/control_pb.js';

/**
 * The control service as grpc-js wants it, made from the generated descriptors: one protobuf toolchain
 * for the whole project.
 */
export const controlService: ServiceDefinition = Object.fromEntries(
  Control.methods.map((method) => [method.localName, definitionOf(method)]),
);

export const ControlClientBase = makeGenericClientConstructor(controlService, Control.typeName);

function definitionOf(method: DescMethod): MethodDefinition<unknown, unknown> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
    responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
    requestSerialize: serializer(method.input),
    requestDeserialize: deserializer(method.input),
    responseSerialize: serializer(method.output),
    responseDeserialize: deserializer(method.output),
  };
}

function serializer(schema: DescMessage): (value: unknown) => Buffer {
  return (value) => {
    const bytes = toBinary(schema, value as Parameters<typeof toBinary>[1]);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function deserializer(schema: DescMessage): (bytes: Buffer) => unknown {
  return (bytes) => fromBinary(schema, bytes);
}

/** gRPC settings of both ends: silence is noticed within two seconds; a frame carries at most 8 MiB. */
export const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 1000,
  'grpc.keepalive_timeout_ms': 2000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.max_receive_message_length': 8 * 2 ** 20,
  'grpc.max_send_message_length': 8 * 2 ** 20,
  'grpc.enable_retries': 0,
} as const;

/** Bytes of one ArtifactChunk. */
export const ARTIFACT_CHUNK_BYTES = 2 ** 20;
