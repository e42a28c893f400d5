import fc from 'fast-check';
import t from 'tap';
import { FrameError } from '../../../collectives/index.js';
import {
  FrameEncoder,
  frameIdentity,
  FrameKind,
  payloadChecksum,
  HEADER_BYTES,
  type FrameFields,
} from '../../../collectives/frame/header.js';
import { FrameParser } from '../../../collectives/frame/parser.js';

const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const byte = fc.integer({ min: 0, max: 255 });
const fields = fc.record({
  kind: fc.constantFrom(FrameKind.data, FrameKind.acknowledge, FrameKind.goodbye),
  operation: byte,
  wire: byte,
  collective: word,
  bucket: word,
  step: word,
  piece: word,
  elements: word,
});
const payload = fc.uint8Array({ maxLength: 200 });
const MAX = 200;

interface Read {
  fields: FrameFields;
  sequence: number;
  payload: number[];
}

function parser(into: Read[], sender = 1, epoch = 5, job = 'job'): FrameParser {
  return new FrameParser(frameIdentity(job, epoch, sender), job, MAX, (header, bytes) => {
    const { kind, operation, wire, collective, bucket, step, piece, elements, sequence } = header;
    into.push({
      fields: { kind, operation, wire, collective, bucket, step, piece, elements },
      sequence,
      payload: [...bytes],
    });
  });
}

function encode(frames: readonly { fields: FrameFields; payload: Uint8Array }[]): Uint8Array {
  const encoder = new FrameEncoder(frameIdentity('job', 5, 1));
  return Buffer.concat(
    frames.flatMap((frame) => [
      encoder.encode(frame.fields, frame.payload.length, payloadChecksum(frame.payload)),
      frame.payload,
    ]),
  );
}

function faultOf(action: () => void): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    if (error instanceof FrameError) return error.fault;
    throw error;
  }
}

void t.test('frames come out as they went in, however the bytes are split', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ fields, payload }), { maxLength: 6 }),
      fc.array(fc.nat(), { maxLength: 20 }),
      (frames, cuts) => {
        const bytes = encode(frames);
        const read: Read[] = [];
        const reader = parser(read);
        const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
        for (let i = 1; i < at.length; i++) reader.push(bytes.subarray(at[i - 1], at[i]));
        reader.endOfMessage();
        t.strictSame(
          read,
          frames.map((frame, i) => ({
            fields: { ...frame.fields },
            sequence: i,
            payload: [...frame.payload],
          })),
        );
      },
    ),
    { numRuns: 200 },
  );
  t.end();
});

void t.test('any one to three flipped bits are found, by name', (t) => {
  fc.assert(
    fc.property(fields, payload, fc.array(fc.nat(), { minLength: 1, maxLength: 3 }), (given, body, flips) => {
      const bytes = Buffer.from(encode([{ fields: given, payload: body }]));
      const bits = new Set(flips.map((flip) => flip % (8 * bytes.length)));
      for (const bit of bits) bytes[bit >> 3]! ^= 1 << (bit & 7);
      const read: Read[] = [];
      const reader = parser(read);
      const fault = faultOf(() => {
        reader.push(bytes);
        reader.endOfMessage();
      });
      t.ok(
        ['not_a_frame', 'wrong_version', 'corrupt_header', 'corrupt_payload'].includes(fault ?? 'none'),
        fault ?? 'nothing was found',
      );
      t.equal(read.length, 0);
      t.equal(
        faultOf(() => reader.push(encode([{ fields: given, payload: body }]))),
        fault,
        'it stays refused',
      );
    }),
    { numRuns: 300 },
  );
  t.end();
});

void t.test('what is not the next frame of this edge is refused by name', (t) => {
  const blank = { operation: 1, wire: 0, collective: 0, bucket: 0, step: 0, piece: 0, elements: 0 };
  const data = { ...blank, kind: FrameKind.data };
  const one = (job: string, epoch: number, sender: number, skip = 0, length = 8): Uint8Array => {
    const encoder = new FrameEncoder(frameIdentity(job, epoch, sender));
    for (let i = 0; i < skip; i++) encoder.encode(data, 0, 0);
    const body = new Uint8Array(length);
    return Buffer.concat([encoder.encode(data, body.length, payloadChecksum(body)), body]);
  };
  const fault = (bytes: Uint8Array): string | undefined =>
    faultOf(() => {
      const reader = parser([]);
      reader.push(bytes);
      reader.endOfMessage();
    });
  t.equal(fault(one('job', 5, 1)), undefined);
  t.equal(fault(one('other', 5, 1)), 'foreign_job');
  t.equal(fault(one('job', 4, 1)), 'stale_epoch');
  t.equal(fault(one('job', 6, 1)), 'future_epoch');
  t.equal(fault(one('job', 5, 2)), 'wrong_sender');
  t.equal(fault(one('job', 5, 1, 1)), 'wrong_sequence');
  t.equal(fault(one('job', 5, 1, 0, MAX + 1)), 'too_long');
  t.equal(fault(one('job', 5, 1).subarray(0, HEADER_BYTES - 1)), 'truncated');
  t.equal(fault(one('job', 5, 1).subarray(0, HEADER_BYTES + 3)), 'truncated');
  const twice = one('job', 5, 1);
  t.equal(fault(Buffer.concat([twice, twice])), 'wrong_sequence');

  // An abort may overtake what its sender dropped, and nothing else may.
  const encoder = new FrameEncoder(frameIdentity('job', 5, 1));
  encoder.encode(data, 0, 0);
  t.equal(fault(encoder.encode({ ...blank, kind: FrameKind.abort }, 0, 0)), undefined);
  t.end();
});
