import { zipSync } from 'fflate';
import t from 'tap';
import { all, bytesOf, DataFolder, npy, samples } from './make.js';

const folder = new DataFolder();
t.teardown(() => folder.remove());
const labels = folder.write('labels.npy', npy('<i8', [3], bytesOf(BigInt64Array.from([2n, 0n, 1n]))));
const spec = { format: 'npy', features: 'x.npy', target: labels } as const;

t.test('every stored kind becomes float32 and, where whole, int64', async (t) => {
  const values = [0, 1, 2, 3, 4, 5];
  const kinds: [string, Uint8Array][] = [
    ['|u1', Uint8Array.from(values)],
    ['|i1', bytesOf(Int8Array.from(values))],
    ['<u2', bytesOf(Uint16Array.from(values))],
    ['<i2', bytesOf(Int16Array.from(values))],
    ['<u4', bytesOf(Uint32Array.from(values))],
    ['<i4', bytesOf(Int32Array.from(values))],
    ['<i8', bytesOf(BigInt64Array.from(values, BigInt))],
    ['<f4', bytesOf(Float32Array.from(values))],
    ['<f8', bytesOf(Float64Array.from(values))],
    ['<f2', bytesOf(Uint16Array.of(0, 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500))],
    ['>i4', Buffer.from(bytesOf(Int32Array.from(values))).swap32()],
    ['>f8', Buffer.from(bytesOf(Float64Array.from(values))).swap64()],
  ];
  for (const [descr, data] of kinds) {
    folder.write('x.npy', npy(descr, [3, 2], data));
    const floats = await folder.open(spec, { inputs: [{ name: 'x', dtype: 'float32', shape: ['N', 2] }] });
    t.same(all(floats), { inputs: [values], target: [2, 0, 1] }, descr);
    const natural = await folder.open(spec);
    t.equal(natural.inputs[0]!.dtype, descr.includes('f') ? 'float32' : 'int64', descr);
    t.same(all(natural).inputs[0], values, descr);
  }
});

t.test('negative and wide integers keep their value', async (t) => {
  folder.write('x.npy', npy('<i8', [3], bytesOf(BigInt64Array.from([-1n, 2n ** 40n, -(2n ** 33n)]))));
  t.same(all(await folder.open(spec)).inputs[0], [-1, 2 ** 40, -(2 ** 33)]);
  const ints = await folder.open(spec, { inputs: [{ name: 'x', dtype: 'int32', shape: ['N'] }] });
  t.throws(() => samples(ints, [1]), { code: 'data_value', message: /1099511627776 does not fit in int32/ });
  folder.write('x.npy', npy('<i2', [3], bytesOf(Int16Array.of(-1, -300, 7))));
  t.same(all(await folder.open(spec)).inputs[0], [-1, -300, 7]);
});

t.test('booleans, half floats at their edges', async (t) => {
  folder.write('x.npy', npy('|b1', [3, 1], Uint8Array.of(1, 0, 1)));
  const bools = await folder.open(spec);
  t.same(bools.inputs, [{ dtype: 'bool', sampleShape: [1] }]);
  t.same(all(bools).inputs[0], [1, 0, 1]);
  folder.write('x.npy', npy('<f2', [3], bytesOf(Uint16Array.of(0x0001, 0xfbff, 0x8000))));
  t.same(all(await folder.open(spec)).inputs[0], [2 ** -24, -65504, -0]);
});

t.test('Fortran order gives the same samples as C order, versions 1 to 3', async (t) => {
  // a[i][j][k] = 100 i + 10 j + k with shape [3, 2, 4]
  const c: number[] = [];
  const f: number[] = [];
  for (let i = 0; i < 3; i++)
    for (let j = 0; j < 2; j++) for (let k = 0; k < 4; k++) c.push(100 * i + 10 * j + k);
  for (let k = 0; k < 4; k++)
    for (let j = 0; j < 2; j++) for (let i = 0; i < 3; i++) f.push(100 * i + 10 * j + k);
  for (const version of [1, 2, 3] as const) {
    folder.write('x.npy', npy('<f4', [3, 2, 4], bytesOf(Float32Array.from(f)), { version, fortran: true }));
    for (const holdBytes of [2 ** 20, 8]) {
      const data = await folder.open(spec, { limits: { holdBytes } });
      t.same(all(data).inputs[0], c);
      data.close();
    }
    folder.write('x.npy', npy('<f4', [3, 2, 4], bytesOf(Float32Array.from(c)), { version }));
    t.same(all(await folder.open(spec, { limits: { holdBytes: 8 } })).inputs[0], c);
  }
});

t.test('several inputs by name, bound to the order of the model', async (t) => {
  folder.write('a.npy', npy('<f4', [3, 2], bytesOf(Float32Array.of(1, 2, 3, 4, 5, 6))));
  folder.write('b.npy', npy('<i8', [3], bytesOf(BigInt64Array.from([7n, 8n, 9n]))));
  const inputs = [
    { name: 'ids', dtype: 'int64', shape: ['N', 1] },
    { name: 'image', dtype: 'float32', shape: ['N', 2, 1] },
  ];
  const data = await folder.open(
    { format: 'npy', inputs: { image: 'a.npy', ids: 'b.npy' }, target: labels },
    { inputs },
  );
  t.same(data.inputs, [
    { name: 'ids', dtype: 'int64', sampleShape: [1] },
    { name: 'image', dtype: 'float32', sampleShape: [2, 1] },
  ]);
  t.same(samples(data, [2, 0]).inputs, [
    [9, 7],
    [5, 6, 1, 2],
  ]);
});

t.test('npz, stored and deflated; only the arrays named are taken', async (t) => {
  const x = npy('<f4', [3, 2], bytesOf(Float32Array.of(1, 2, 3, 4, 5, 6)));
  const y = npy('<f8', [3, 1], bytesOf(Float64Array.of(0.5, 1.5, -2)));
  for (const level of [0, 6] as const) {
    folder.write('d.npz', zipSync({ 'x.npy': x, 'y.npy': y, 'z.npy': Uint8Array.of(1) }, { level }));
    const data = await folder.open(
      { format: 'npz', path: 'd.npz', features: 'x', target: 'y', rows: [1, 3] },
      { target: { kind: 'values', shape: ['N'] } },
    );
    t.same(all(data), { inputs: [[3, 4, 5, 6]], target: [1.5, -2] });
    t.same(data.target, { dtype: 'float32', sampleShape: [] });
    t.ok(data.bytes < 1000);
  }
});
