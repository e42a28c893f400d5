import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { bytesOf, emptyData, tensorOf, type DataType, type Tensor } from '../../../graph/index.js';
import {
  mergeSafetensors,
  readSafetensors,
  WeightsError,
  writeSafetensors,
} from '../../../graph/weights/index.js';

/** Writes each part to a file of its own. */
function write(folder: string, parts: readonly (readonly (readonly [string, Tensor])[])[]): string[] {
  return parts.map((tensors, i) => {
    const path = join(folder, `part-${i}.safetensors`);
    writeFileSync(path, writeSafetensors(new Map(tensors)));
    return path;
  });
}

void t.test('holds what the parts hold, in their order, a shared name as the first has it', async (t) => {
  const folder = t.testdir();
  const dtype = fc.constantFrom<DataType>('float32', 'float16', 'int64', 'bool', 'float64');
  const part = fc.uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'é"', '__proto'), fc.nat(5)), {
    selector: ([name]) => name,
  });
  let written = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(part, { maxLength: 4 }),
      fc.array(dtype, { minLength: 6, maxLength: 6 }),
      async (found, dtypes) => {
        const names = ['a', 'b', 'c', 'd', 'é"', '__proto'];
        const parts = found.map((tensors) =>
          tensors.map(([name], i): [string, Tensor] => {
            const at = names.indexOf(name);
            const data = emptyData(dtypes[at]!, at * 3); // the first is empty
            new Uint8Array(data.buffer).fill(dtypes[at] === 'bool' ? 1 : (written += i + 1) & 0x3f);
            return [name, { dtype: dtypes[at]!, shape: [at, 3], data }];
          }),
        );
        const expected = new Map<string, Tensor>();
        for (const [name, tensor] of parts.flat()) if (!expected.has(name)) expected.set(name, tensor);
        const to = join(folder, 'merged.safetensors');
        await mergeSafetensors(write(folder, parts), to);
        const { tensors } = readSafetensors(readFileSync(to));
        t.strictSame([...tensors.keys()], [...expected.keys()]);
        for (const [name, tensor] of expected)
          t.strictSame(bytesOf(tensors.get(name)!), bytesOf(tensor), name);
      },
    ),
    { numRuns: 40 },
  );
});

void t.test('tensors larger than a piece, and a target that is a part', async (t) => {
  const data = Float32Array.from({ length: 700_001 }, (_, i) => i);
  const large: Tensor = { dtype: 'float32', shape: [data.length], data };
  const paths = write(t.testdir(), [[['large', large]], [['small', tensorOf('int64', [1], [5])]], []]);
  await mergeSafetensors(paths, paths[1]!);
  const { tensors } = readSafetensors(readFileSync(paths[1]!));
  t.strictSame([...tensors.keys()], ['large', 'small']);
  t.equal(Buffer.compare(bytesOf(tensors.get('large')!), bytesOf(large)), 0);
  t.strictSame(tensors.get('small')!.data, BigInt64Array.of(5n));
});

void t.test('no parts make an empty file', async (t) => {
  const to = join(t.testdir(), 'merged');
  await mergeSafetensors([], to);
  t.equal(readSafetensors(readFileSync(to)).tensors.size, 0);
});

void t.test('metadata come from the first part that has them', async (t) => {
  const folder = t.testdir();
  const paths = [{ format: 'pt' }, { format: 'np', step: '7' }].map((metadata, i) => {
    const path = join(folder, `${i}`);
    writeFileSync(path, writeSafetensors(new Map(), new Map(Object.entries(metadata))));
    return path;
  });
  const to = join(folder, 'merged');
  await mergeSafetensors(paths, to);
  t.strictSame(Object.fromEntries(readSafetensors(readFileSync(to)).metadata), { format: 'pt', step: '7' });
});

void t.test(
  'parts that disagree, or are no such files, are refused by name; what was there stays',
  async (t) => {
    const folder = t.testdir({ merged: 'as it was' });
    const [a, b] = write(folder, [
      [['w', tensorOf('float32', [2], [1, 2])]],
      [['w', tensorOf('float32', [1, 2], [1, 2])]],
    ]) as [string, string];
    const to = join(folder, 'merged');
    const refusal = mergeSafetensors([a, b], to);
    await t.rejects(refusal, WeightsError);
    await t.rejects(refusal, {
      message: `tensor "w" is float32[2] in ${a} and float32[1,2] in ${b}: parts of one model agree on what they share`,
    });
    writeFileSync(b, readFileSync(a).subarray(0, -1));
    await t.rejects(mergeSafetensors([a, b], to), { message: new RegExp(`^${b}: truncated`) });
    writeFileSync(b, '');
    await t.rejects(mergeSafetensors([a, b], to), WeightsError);
    await t.rejects(mergeSafetensors([a, join(folder, 'none')], to), { code: 'ENOENT' });
    t.equal(readFileSync(to, 'utf8'), 'as it was');
  },
);
