import fc from 'fast-check';
import t from 'tap';
import { referenceKernels, wasmKernels, type Kernels } from '../../../collectives/index.js';

const ROOM = 2048;
const bits = fc.oneof(
  fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  // Around the edges of float16: subnormals, ties, the largest value, infinity, NaN.
  fc.integer({ min: 0x33000000, max: 0x38801000 }),
  fc.integer({ min: 0x477fd000, max: 0x47801000 }),
  fc.integer({ min: 0x7f7fff00, max: 0x7f8000ff }),
  fc.integer({ min: 0x3f800000, max: 0x3f810000 }),
);
const values = fc.array(bits, { maxLength: 70 });

/** Runs a kernel of both implementations on equal memories and compares all of the memory. */
function agree(
  run: (kernels: Kernels, source: number, target: number) => number | undefined,
  a: number[],
  b: number[],
  skew: number,
): string {
  const memories = [0, 1].map(() => new WebAssembly.Memory({ initial: 1, maximum: 1 }));
  const source = 1024 + 4 * skew;
  const target = source + ROOM;
  const results = memories.map((memory, which) => {
    const words = new Uint32Array(memory.buffer);
    words.set(a, source / 4);
    words.set(b, target / 4);
    return run(which === 0 ? wasmKernels(memory) : referenceKernels(memory), source, target);
  });
  if (!Object.is(results[0], results[1])) return `${String(results[0])} is not ${String(results[1])}`;
  const [left, right] = memories.map((memory) => new Uint32Array(memory.buffer));
  const isNan = (word: number): boolean => (word & 0x7fffffff) >>> 0 > 0x7f800000;
  for (let i = 0; i < left!.length; i++) {
    // Which NaN an addition gives is up to the processor.
    if (left![i] !== right![i] && !(isNan(left![i]!) && isNan(right![i]!))) {
      return `word ${i}: ${left![i]!.toString(16)} is not ${right![i]!.toString(16)}`;
    }
  }
  return '';
}

const binary: (keyof Kernels)[] = [
  'add',
  'packFloat16',
  'roundFloat16',
  'unpackFloat16',
  'addFloat16',
  'packBfloat16',
  'roundBfloat16',
  'unpackBfloat16',
  'addBfloat16',
];
for (const name of binary) {
  void t.test(`${name}: SIMD agrees with the reference`, (t) => {
    fc.assert(
      fc.property(values, values, fc.integer({ min: 0, max: 3 }), (a, b, skew) => {
        const count =
          name.startsWith('unpack') || name.endsWith('6') ? a.length : Math.min(a.length, b.length);
        const run = (kernels: Kernels, source: number, target: number): undefined => {
          kernels[name](target, source, count);
        };
        t.equal(agree(run, a, b, skew), '');
      }),
      { numRuns: 150 },
    );
    t.end();
  });
}

void t.test('scale and sum of squares: SIMD agrees with the reference', (t) => {
  fc.assert(
    fc.property(values, fc.float({ noNaN: true }), fc.integer({ min: 0, max: 3 }), (a, factor, skew) => {
      const scale = (kernels: Kernels, source: number): undefined => {
        kernels.scale(source, factor, a.length);
      };
      t.equal(agree(scale, a, [], skew), '');
      const finite = a.map((word) => word & 0xbf7fffff);
      t.equal(
        agree((kernels, source) => kernels.sumOfSquares(source, finite.length), finite, [], skew),
        '',
      );
    }),
    { numRuns: 150 },
  );
  t.end();
});

void t.test('checksum: SIMD agrees with the reference, and finds flipped bits and exchanged blocks', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.array(fc.nat(), { minLength: 1, maxLength: 3 }),
      (bytes, flips) => {
        const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
        const view = new Uint8Array(memory.buffer, 1024, bytes.length);
        const [simd, plain] = [wasmKernels(memory), referenceKernels(memory)];
        view.set(bytes);
        const sum = simd.checksum(1024, bytes.length);
        t.equal(plain.checksum(1024, bytes.length), sum);
        for (const bit of new Set(flips.map((flip) => flip % (8 * bytes.length))))
          view[bit >> 3]! ^= 1 << (bit & 7);
        t.not(simd.checksum(1024, bytes.length), sum);
        view.set(bytes);
        t.not(simd.checksum(1024, bytes.length - 1), sum, 'another length');
        if (bytes.length >= 32 && Buffer.compare(bytes.subarray(0, 16), bytes.subarray(16, 32)) !== 0) {
          view.set(bytes.subarray(16, 32), 0);
          view.set(bytes.subarray(0, 16), 16);
          t.not(simd.checksum(1024, bytes.length), sum);
        }
      },
    ),
    { numRuns: 200 },
  );
  t.end();
});

void t.test('every float16 and bfloat16 survives a round trip, and packing again changes nothing', (t) => {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16 });
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const [from, middle, to] = [1024, 1024 + 131072, 1024 + 131072 + 262144];
  for (const kernels of [wasmKernels(memory), referenceKernels(memory)]) {
    for (const [pack, unpack, quiet, exponent] of [
      [kernels.packFloat16, kernels.unpackFloat16, 0x7e00, 0x7c00],
      [kernels.packBfloat16, kernels.unpackBfloat16, 0x40, 0x7f80],
    ] as const) {
      new Uint16Array(memory.buffer, from, 65536).set(all);
      unpack(middle, from, 65536);
      pack(to, middle, 65536);
      const back = new Uint16Array(memory.buffer, to, 65536).slice();
      let wrong = 0;
      for (let i = 0; i < 65536; i++) {
        const isNan = (i & 0x7fff) > exponent;
        if (isNan ? (back[i]! & 0x7fff) <= exponent || (back[i]! & quiet) === 0 : back[i] !== i) wrong++;
      }
      t.equal(wrong, 0);
      unpack(middle, to, 65536);
      pack(from, middle, 65536);
      t.same(new Uint16Array(memory.buffer, from, 65536), back);
    }
  }
  t.end();
});

void t.test('float16 overflows to infinity from 65520 on; ties go to even', (t) => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const inputs = [
    65504,
    65519.99,
    65520,
    -65520,
    1e30,
    Infinity,
    NaN,
    2049,
    2051,
    2 ** -25,
    1.5 * 2 ** -24,
    -0,
  ];
  const expected = [0x7bff, 0x7bff, 0x7c00, 0xfc00, 0x7c00, 0x7c00, 0x7e00, 0x6800, 0x6802, 0, 2, 0x8000];
  new Float32Array(memory.buffer, 1024).set(inputs);
  for (const kernels of [wasmKernels(memory), referenceKernels(memory)]) {
    kernels.packFloat16(2048, 1024, inputs.length);
    t.same([...new Uint16Array(memory.buffer, 2048, inputs.length)], expected);
  }
  t.end();
});
