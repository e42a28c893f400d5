import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { bytesOf, emptyData, sizeOf, tensorOf, type DataType, type Tensor } from '../../../graph/index.js';
import { readSafetensors, WeightsError, writeSafetensors } from '../../../graph/weights/index.js';
import { repositoryRoot } from '../../root.js';

const DTYPES: readonly DataType[] = [
  'float32', 'float64', 'float16', 'bfloat16', 'int8', 'int16', 'int32', 'int64',
  'uint8', 'uint16', 'uint32', 'uint64', 'bool',
]; // prettier-ignore

/** A file with this header and `size` bytes of data. */
function fileOf(header: unknown, size = 0): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + size);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

void t.test('reads what PyTorch wrote', (t) => {
  const path = join(repositoryRoot, 'test/fixtures/models/mlp/case.safetensors');
  const { tensors } = readSafetensors(readFileSync(path), path);
  t.same(tensors.get('input')?.shape, [8, 1, 28, 28]);
  t.equal(tensors.get('target')?.dtype, 'int64');
  t.ok(tensors.get('target')?.data instanceof BigInt64Array);
  t.same(tensors.get('loss')?.shape, [1]);
  t.ok(Math.abs(Number(tensors.get('loss')!.data[0]) - 2.372587) < 1e-5);
  t.end();
});

void t.test('writes and reads back every type, order, shape and metadata', (t) => {
  const tensor = fc
    .record({ dtype: fc.constantFrom(...DTYPES), shape: fc.array(fc.nat({ max: 3 }), { maxLength: 3 }) })
    .map(({ dtype, shape }): Tensor => {
      const data = emptyData(dtype, sizeOf(shape));
      const raw = new Uint8Array(data.buffer);
      for (let i = 0; i < raw.length; i++) raw[i] = (i * 37 + 11) & (dtype === 'bool' ? 1 : 0x3f);
      return { dtype, shape, data };
    });
  const name = fc.string({ minLength: 1 }).filter((text) => text !== '__metadata__' && !/^\d+$/.test(text));
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(name, tensor), { selector: ([key]) => key, maxLength: 8 }),
      fc.nat({ max: 7 }),
      (entries, shift) => {
        const file = writeSafetensors(new Map(entries), new Map([['made by', 'a test']]));
        // the file may lie anywhere in a larger buffer
        const moved = new Uint8Array(file.byteLength + shift).subarray(shift);
        moved.set(file);
        const { tensors, metadata } = readSafetensors(moved);
        t.same([...tensors.keys()], entries.map(([key]) => key)); // prettier-ignore
        for (const [key, { dtype, shape, data }] of entries) {
          const found = tensors.get(key)!;
          t.same({ dtype: found.dtype, shape: found.shape }, { dtype, shape });
          t.same(bytesOf(found), bytesOf({ dtype, shape, data }));
        }
        t.equal(metadata.get('made by'), 'a test');
      },
    ),
    { numRuns: 50 },
  );
  t.end();
});

void t.test('elements are aligned in the file, so that reading copies nothing', (t) => {
  const file = writeSafetensors(
    new Map([
      ['bytes', tensorOf('uint8', [3], [1, 2, 3])],
      ['wide', tensorOf('int64', [2], [4, 5])],
      ['floats', tensorOf('float32', [1], [6])],
    ]),
  );
  for (const tensor of readSafetensors(file).tensors.values()) t.equal(tensor.data.buffer, file.buffer);
  t.end();
});

void t.test('refuses what is not a safetensors file, saying what is wrong', (t) => {
  const f32 = (start: number, end: number, shape: unknown = [1]) => ({
    dtype: 'F32',
    shape,
    data_offsets: [start, end],
  });
  const long = new Uint8Array(8);
  new DataView(long.buffer).setBigUint64(0, 2n ** 40n, true);
  const cases: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ['empty', new Uint8Array(3), /3 bytes are too few/],
    ['header over the limit', long, /over the limit/],
    ['header cut short', fileOf({ a: f32(0, 4) }, 4).subarray(0, 20), /truncated: the header/],
    ['data cut short', fileOf({ a: f32(0, 4) }, 2), /truncated: tensor "a" ends at byte 4/],
    ['not JSON', fileOf('{"a":'), /not JSON/],
    ['not UTF-8', new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0, 0xff]), /not JSON in UTF-8/],
    ['not an object', fileOf('[1]'), /not a JSON object/],
    [
      'unknown type',
      fileOf({ a: { dtype: 'F8', shape: [], data_offsets: [0, 1] } }, 1),
      /"F8"; known are F32/,
    ],
    ['negative length', fileOf({ a: f32(0, 4, [-1]) }, 4), /not a list of lengths/],
    ['huge length', fileOf({ a: f32(0, 4, [2 ** 40, 2 ** 40]) }, 4), /needs .* bytes/],
    [
      'three offsets',
      fileOf({ a: { dtype: 'F32', shape: [1], data_offsets: [0, 4, 8] } }, 4),
      /not \[start, end\]/,
    ],
    ['size of another shape', fileOf({ a: f32(0, 4, [2]) }, 4), /needs 8 bytes, its offsets hold 4/],
    ['overlap', fileOf({ a: f32(0, 8, [2]), b: f32(4, 8) }, 8), /"b" overlaps tensor "a"/],
    ['hole', fileOf({ a: f32(0, 4), b: f32(8, 12) }, 12), /bytes 4 to 8 before tensor "b"/],
    ['rest', fileOf({ a: f32(0, 4) }, 6), /2 bytes at the end/],
    ['metadata that is not text', fileOf({ __metadata__: { a: 1 } }), /__metadata__.a is not text/],
    ['metadata that is no object', fileOf({ __metadata__: 'x' }), /__metadata__ is not an object/],
    ['entry that is no object', fileOf({ a: 3 }), /not described by an object/],
  ];
  for (const [name, bytes, message] of cases) {
    t.throws(() => readSafetensors(bytes, 'w.safetensors'), { message }, name);
    t.throws(() => readSafetensors(bytes, 'w.safetensors'), WeightsError, name);
  }
  t.end();
});

void t.test('random bytes and bit flips never do worse than a WeightsError', (t) => {
  const good = writeSafetensors(new Map([['a', tensorOf('float32', [2, 2], [1, 2, 3, 4])]]));
  fc.assert(
    fc.property(fc.nat({ max: good.length * 8 - 1 }), (bit) => {
      const bad = Uint8Array.from(good);
      bad[bit >> 3]! ^= 1 << (bit & 7);
      try {
        readSafetensors(bad);
      } catch (error) {
        if (!(error instanceof WeightsError)) throw error;
      }
    }),
    { numRuns: 300 },
  );
  t.end();
});
