import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { frameRecord } from '../../../coordinator/results/tensorboard/tfrecord.js';
import { crc32c, readRecords } from '../../unit/coordinator/tfrecord-reader.js';

t.test('the reference checksum itself: RFC 3720, B.4', (t) => {
  t.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  t.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  t.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  t.end();
});

t.test('records are read back as they were written', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 10 }), (records) => {
      const file = Buffer.concat(records.map(frameRecord));
      assert.deepEqual(
        readRecords(file).map((bytes) => [...bytes]),
        records.map((bytes) => [...bytes]),
      );
    }),
  );
  t.end();
});
