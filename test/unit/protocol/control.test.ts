import { create } from '@bufbuild/protobuf';
import t from 'tap';
import { controlService, FromWorkerSchema, HelloSchema, type FromWorker } from '../../../protocol/index.js';

t.test('the service as grpc-js is told of it', (t) => {
  t.match(controlService, {
    join: { path: '/dtrain.control.v1.Control/Join', requestStream: true, responseStream: true },
    getArtifact: {
      path: '/dtrain.control.v1.Control/GetArtifact',
      requestStream: false,
      responseStream: true,
    },
    putArtifact: {
      path: '/dtrain.control.v1.Control/PutArtifact',
      requestStream: true,
      responseStream: false,
    },
  });
  t.strictSame(Object.keys(controlService).sort(), ['getArtifact', 'join', 'putArtifact']);
  t.end();
});

t.test('messages are read back as they were written', (t) => {
  const join = controlService['join']!;
  const sent = create(FromWorkerSchema, {
    message: {
      case: 'hello',
      value: create(HelloSchema, { version: '1', name: 'hôte', pid: 2 ** 32 - 1, devices: [] }),
    },
  });
  const read = join.requestDeserialize(join.requestSerialize(sent)) as FromWorker;
  t.strictSame(read, sent);
  t.throws(() => join.requestDeserialize(Buffer.from([0xff, 0xff, 0xff])) as unknown);
  t.end();
});
