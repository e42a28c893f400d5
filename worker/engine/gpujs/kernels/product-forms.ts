import { sizeOf } from '../../../../graph/index.js';
import type { Kernel, KernelContext } from '../kernel.js';
import { accumulate, FOUR_LANES } from './accumulate.js';
import { startOf, transposed, type Addend, type Factor, type Product } from './factor.js';
import { added, coordinates, integers, times } from './integers.js';

/*
 * Forms of a product, and which backend is good at which.
 *
 * A kernel gives one float for each cell, so no form keeps a tile in registers across cells. Plain: a cell runs
 * along k with four sums. In WebAssembly gpu.js computes four neighbouring cells at once, loads what differs between
 * them lane by lane, and computes what does not differ once, as a scalar. Quads: each of the four cells computes the
 * sums of all four, of which nothing differs between the lanes, and then picks its own. So an element of `a` is loaded
 * once for four products, and no index is made in a vector. Packed: the same with the four columns of `b` side by side
 * and the rows in the inner loop of cells, so that large factors are read through once for a few columns. In plain
 * JavaScript a cell is plain, with large factors laid out along the sum.
 */

/** Elements of `b` that are read faster where they lie (they stay in the cache) than packed. */
const CACHED = 1 << 16;

/** Rows for which packing `b` pays. */
const ROWS_TO_PACK = 8;

/** Less cells than this do not fill a GPU... */
const FEW_CELLS = 1 << 14;
/** ...so that sums at least this long are cut into parts. */
const LONG_SUM = 2048;

export function productKernels(product: Product, context: KernelContext): readonly Kernel[] {
  const { m, k, n, batch } = product;
  // a column is a row in memory
  if (n === 1 && m > 1 && product.addend === undefined) return productKernels(turned(product), context);
  const onGpu = context.backend === 'webgpu' || context.backend === 'webgl';
  if (onGpu && m * n * sizeOf(batch) < FEW_CELLS && k >= LONG_SUM) return inParts(product, context);
  if (context.backend === 'javascript') return alongMemory(product, context);
  if (context.backend !== 'wasm') return [plain(product, context)];
  if (n % 4 === 0 && (k * n <= CACHED || m < ROWS_TO_PACK)) return [quads(product, context)];
  return m < ROWS_TO_PACK || k < ROWS_TO_PACK || n < 4 ? [plain(product, context)] : packed(product, context);
}

/** The transposed product, for a result whose elements lie the same either way. */
function turned({ m, n, a, b, ...rest }: Product): Product {
  return { ...rest, m: n, n: m, a: transposed(b), b: transposed(a) };
}

/** alpha * sum + beta * addend[i, j] */
function finished(
  product: Pick<Product, 'alpha' | 'addend'>,
  sum: string,
  row: string,
  column: string,
): string {
  const scaled = product.alpha === 1 ? sum : `(${sum}) * ${float(product.alpha)}`;
  if (product.addend === undefined) return scaled;
  const { addend } = product;
  const element = `c[${added(times(row, addend.row), times(column, addend.column))}]`;
  return `${scaled === sum ? `(${sum})` : scaled} + ${addend.beta === 1 ? element : `${element} * ${float(addend.beta)}`}`;
}

/** A number as gpu.js reads a float. */
export function float(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

function reads(product: Product, a: string, b: string): { names: string; inputs: readonly string[] } {
  const { addend } = product;
  return { names: addend ? 'a, b, c' : 'a, b', inputs: [a, b, ...(addend ? [addend.value] : [])] };
}

function plain(product: Product, { backend }: KernelContext): Kernel {
  const { m, k, n, batch, a, b } = product;
  const batches = sizeOf(batch);
  const aStart = startOf(backend, 'p', 'this.thread.z', batch, a.batch);
  const bStart = startOf(backend, 'q', 'this.thread.z', batch, b.batch);
  const { names, inputs } = reads(product, a.value, b.value);
  const sums = accumulate(backend, 4, {
    count: k,
    add: (u) => `s${u % 4} += a[${added('i', u * a.column)}] * b[${added('j', u * b.row)}];`,
    advance: (count) => `i += ${count * a.column}; j += ${count * b.row};`,
  });
  return {
    source: `function (${names}) {
  ${integers(backend, 'i', 'j')} ${aStart.before} ${bStart.before}
  i = ${added(times('this.thread.y', a.row), aStart.start)};
  j = ${added(times('this.thread.x', b.column), bStart.start)};
  ${sums}
  return ${finished(product, '(s0 + s1) + (s2 + s3)', 'this.thread.y', 'this.thread.x')};
}`,
    inputs,
    output: product.output,
    extents: batches === 1 ? [n, m] : [n, m, batches],
    constants: {},
  };
}

/**
 * Plain, with each large factor that is read across its rows laid out along the sum before: a column whose elements lie
 * a power of two apart finds few places in the cache.
 */
function alongMemory(product: Product, context: KernelContext): readonly Kernel[] {
  const { m, k, n, a, b } = product;
  const kernels: Kernel[] = [];
  // `row` and `column` as of rows that are as long as the sum
  const laid = (factor: Factor, rows: number, uses: number): Factor => {
    const repeated = factor.batch.every((stride) => stride === 0);
    if (factor.column === 1 || k * rows <= CACHED || uses < ROWS_TO_PACK || !repeated) return factor;
    const value = context.fresh('rows');
    kernels.push({
      source: `function (a) { return a[${added(times('this.thread.x', factor.column), times('this.thread.y', factor.row))}]; }`,
      inputs: [factor.value],
      output: value,
      extents: [k, rows],
      constants: {},
    });
    return { ...factor, value, row: k, column: 1 };
  };
  const turnedProduct = { ...product, a: laid(a, m, n), b: transposed(laid(transposed(b), n, m)) };
  return [...kernels, plain(turnedProduct, context)];
}

/** Sums over parts of k as more batches, then the sum of the parts. */
function inParts(product: Product, context: KernelContext): readonly Kernel[] {
  const { m, k, n, batch, a, b, output } = product;
  const parts = [64, 32, 16, 8, 4, 2].find((count) => k % count === 0 && k / count >= LONG_SUM / 32) ?? 1;
  if (parts === 1) return [plain(product, context)];
  const length = k / parts;
  const partial: Product = {
    m,
    n,
    k: length,
    batch: [parts, ...batch],
    a: { ...a, batch: [length * a.column, ...a.batch] },
    b: { ...b, batch: [length * b.row, ...b.batch] },
    alpha: 1,
    output: context.fresh('parts'),
  };
  const size = m * n * sizeOf(batch);
  const sums = accumulate(context.backend, 4, {
    count: parts,
    add: (u) => `s${u % 4} += a[${added('i', u * size)}];`,
    advance: (count) => `i += ${count * size};`,
  });
  const row = 'this.thread.y';
  const join: Kernel = {
    source: `function (a${product.addend ? ', c' : ''}) {
  ${integers(context.backend, 'i')}
  i = this.thread.x + this.thread.y * ${n} + this.thread.z * ${m * n};
  ${sums}
  return ${finished(product, '(s0 + s1) + (s2 + s3)', row, 'this.thread.x')};
}`,
    inputs: [partial.output, ...(product.addend ? [product.addend.value] : [])],
    output,
    extents: [n, m, sizeOf(batch)],
    constants: {},
  };
  return [plain(partial, context), join];
}

/** WebAssembly: cells are [lane, four columns, row of a batch]. */
function quads(product: Product, { backend }: KernelContext): Kernel {
  const { m, k, n, batch, a, b } = product;
  const batches = sizeOf(batch);
  const one = batches === 1;
  const aStart = startOf(backend, 'p', 'batch', batch, a.batch);
  const bStart = startOf(backend, 'q', 'batch', batch, b.batch);
  const { names, inputs } = reads(product, a.value, b.value);
  return {
    source: `function (${names}) {
  ${integers(backend, 'i', 'j', 'row', 'batch')} ${one ? 'row = this.thread.z;' : coordinates(['batch', 'row'], 'this.thread.z', [batches, m])}
  ${aStart.before} ${bStart.before}
  i = ${added(times('row', a.row), aStart.start)};
  j = ${added(times('this.thread.y', 4 * b.column), bStart.start)};
  ${fourSums(k, a.column, b.row, b.column)}
  return ${finished(product, FOUR_LANES, 'row', '(this.thread.y * 4 + this.thread.x)')};
}`,
    inputs,
    output: product.output,
    extents: [4, n / 4, m * batches],
    constants: {},
  };
}

/** Statements for the sums of four columns: from `i` along a row of `a`, from `j` down `b`. */
function fourSums(k: number, aStep: number, bStep: number, bColumn: number): string {
  const lanes = [0, 1, 2, 3];
  return `let x = 0.0; ${accumulate('wasm', 4, {
    count: k,
    add: (u) =>
      `x = a[${added('i', u * aStep)}]; ${lanes.map((lane) => `s${lane} += x * b[${added('j', u * bStep + lane * bColumn)}];`).join(' ')}`,
    advance: (count) => `i += ${count * aStep}; j += ${count * bStep};`,
  })}`;
}

/** WebAssembly: columns are packed in fours, the last of them repeated where four do not divide them. */
function packed(product: Product, context: KernelContext): readonly Kernel[] {
  const { m, k, n, batch, a, b } = product;
  const { backend } = context;
  const batches = sizeOf(batch);
  const quarters = Math.ceil(n / 4);
  const repeated = b.batch.every((stride) => stride === 0);
  const bBatches = repeated ? 1 : batches;
  const bStart = startOf(backend, 'q', 'batch', batch, b.batch);
  const columns = context.fresh('columns');
  const column = 'this.thread.x + quarter * 4';
  const pack: Kernel = {
    source: `function (b) {
  ${integers(backend, 'batch', 'quarter', 'column')} ${coordinates(['batch', 'quarter'], 'this.thread.z', [bBatches, quarters])}
  column = ${n % 4 === 0 ? column : `Math.min(${column}, ${n - 1})`}; ${repeated ? '' : bStart.before}
  return b[${added(times('column', b.column), times('this.thread.y', b.row), repeated ? '0' : bStart.start)}];
}`,
    inputs: [b.value],
    output: columns,
    extents: [4, k, quarters * bBatches],
    constants: {},
  };
  const aStart = startOf(backend, 'p', 'batch', batch, a.batch);
  const rows = context.fresh('rows');
  const multiply: Kernel = {
    source: `function (a, b) {
  ${integers(backend, 'i', 'j', 'batch')} ${batches === 1 ? '' : `batch = Math.floor((this.thread.z + 0.5) / ${quarters});`} ${aStart.before}
  i = ${added(times('this.thread.y', a.row), aStart.start)};
  j = ${batches > 1 && repeated ? `(this.thread.z - batch * ${quarters}) * ${4 * k}` : `this.thread.z * ${4 * k}`};
  ${fourSums(k, a.column, 4, 1)}
  return ${FOUR_LANES};
}`,
    inputs: [a.value, columns],
    output: rows,
    extents: [4, m, quarters * batches],
    constants: {},
  };
  return [pack, multiply, unpack(product, rows, quarters, product.addend)];
}

/** [batch, four columns, row, lane] to [batch, row, column]. */
function unpack(product: Product, rows: string, quarters: number, addend: Addend | undefined): Kernel {
  const { m, n, batch } = product;
  const element = `a[((this.thread.z * ${quarters} + (this.thread.x >> 2)) * ${m} + this.thread.y) * 4 + (this.thread.x & 3)]`;
  return {
    source: `function (a${addend ? ', c' : ''}) { return ${finished(product, element, 'this.thread.y', 'this.thread.x')}; }`,
    inputs: [rows, ...(addend ? [addend.value] : [])],
    output: product.output,
    extents: [n, m, sizeOf(batch)],
    constants: {},
  };
}
