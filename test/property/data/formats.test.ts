import fc from 'fast-check';
import t from 'tap';
import { DataError } from '../../../data/index.js';
import { all, bytesOf, DataFolder, idx, npy, samples } from '../../unit/data/make.js';

const folder = new DataFolder();
t.teardown(() => folder.remove());
const dims = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 0, maxLength: 3 });
const size = (shape: readonly number[]) => shape.reduce((product, dim) => product * dim, 1);

t.test('npy: C and Fortran order, in memory and in place, give the same samples', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 6 }), dims, fc.integer(), async (rows, sample, salt) => {
      const shape = [rows, ...sample];
      const c = Float64Array.from({ length: size(shape) }, (_, i) => i + salt);
      const f = new Float64Array(c.length);
      c.forEach((value, linear) => {
        let rest = linear;
        let offset = 0;
        for (let axis = shape.length - 1; axis >= 0; axis--) {
          offset += (rest % shape[axis]!) * size(shape.slice(0, axis));
          rest = Math.floor(rest / shape[axis]!);
        }
        f[offset] = value;
      });
      folder.write('c.npy', npy('<f8', shape, bytesOf(c)));
      folder.write('f.npy', npy('<f8', shape, bytesOf(f), { fortran: true }));
      const inputs = [{ name: 'x', dtype: 'float64', shape: ['N', ...sample] }];
      for (const features of ['c.npy', 'f.npy']) {
        for (const holdBytes of [2 ** 20, 1]) {
          const data = await folder.open(
            { format: 'npy', features, target: 'c.npy' },
            { inputs, target: { kind: 'values' }, limits: { holdBytes } },
          );
          const read = all(data);
          data.close();
          if (String(read.inputs[0]) !== String(Array.from(c))) return false;
        }
      }
      return true;
    }),
    { numRuns: 25 },
  );
});

t.test(
  'any cut or flipped byte of an idx or npy file gives a typed error or samples, never anything else',
  async () => {
    const files = [
      idx(
        8,
        [3, 2, 2],
        Array.from({ length: 12 }, (_, i) => i),
      ),
      npy('<f4', [3, 4], bytesOf(Float32Array.from({ length: 12 }, (_, i) => i))),
      npy('<i8', [3, 4], bytesOf(new BigInt64Array(12)), { version: 2, fortran: true }),
    ];
    folder.write('labels', idx(8, [3], [0, 1, 2]));
    folder.write('labels.npy', npy('|u1', [3], Uint8Array.of(0, 1, 2)));
    const limits = { holdBytes: 2 ** 20, memoryBytes: 2 ** 20 };
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...files),
        fc.nat(200),
        fc.nat(255),
        fc.boolean(),
        async (file, at, byte, cutIt) => {
          const spoilt = cutIt ? file.slice(0, at % file.length) : file.slice();
          if (!cutIt) spoilt[at % file.length] = byte;
          folder.write('spoilt', spoilt);
          try {
            const data = await folder.open(
              file === files[0]
                ? { format: 'idx', features: 'spoilt', labels: 'labels' }
                : { format: 'npy', features: 'spoilt', target: 'labels.npy' },
              { limits },
            );
            samples(data, [data.length - 1]);
            data.close();
            return true;
          } catch (error) {
            return error instanceof DataError;
          }
        },
      ),
      { numRuns: 300 },
    );
  },
);

t.test('text: decoding the tokens gives the text again, for any Unicode text and context', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc
        .string({ unit: 'grapheme', minLength: 3, maxLength: 60 })
        .filter((text) => !text.startsWith('\ufeff')),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 7 }),
      async (text, context, stride) => {
        const characters = Array.from(text); // by code points
        if (characters.length < context + 1) return true;
        folder.write('text', text);
        const data = await folder.open({ format: 'text', path: 'text', tokens: 'char', context, stride });
        const vocabulary = data.context.vocabulary!;
        const read = all(data);
        const expect = (shift: number) =>
          Array.from({ length: data.length }, (_, i) =>
            characters.slice(i * stride + shift, i * stride + shift + context).join(''),
          ).join('');
        const said = (ids: readonly number[]) => ids.map((id) => vocabulary[id]).join('');
        const last = (data.length - 1) * stride + context;
        return (
          said(read.inputs[0]!) === expect(0) &&
          said(read.target) === expect(1) &&
          last < characters.length &&
          last + stride >= characters.length &&
          vocabulary.every(
            (character, i) => i === 0 || vocabulary[i - 1]!.codePointAt(0)! < character.codePointAt(0)!,
          )
        );
      },
    ),
    { numRuns: 60 },
  );
});

t.test('csv: numbers written in any form are read as float32', async () => {
  const number = fc.float({ noNaN: true, noDefaultInfinity: true });
  const form = fc.constantFrom(
    String,
    (value: number) => value.toExponential(),
    (value: number) => `" ${value} "`,
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(number, number, number), { minLength: 1, maxLength: 20 }),
      form,
      fc.constantFrom('\n', '\r\n', '\r'),
      fc.boolean(),
      async (rows, write, end, header) => {
        const lines = [...(header ? ['a,b,c'] : []), ...rows.map((row) => row.map(write).join(','))];
        folder.write('n.csv', lines.join(end));
        const data = await folder.open(
          { format: 'csv', path: 'n.csv', target: -1 },
          { target: { kind: 'values' } },
        );
        const read = all(data);
        const plus = (value: number) => value + 0;
        return (
          String(read.inputs[0]!.map(plus)) === String(rows.flatMap(([a, b]) => [a + 0, b + 0])) &&
          String(read.target.map(plus)) === String(rows.map((row) => row[2] + 0))
        );
      },
    ),
    { numRuns: 60 },
  );
});
