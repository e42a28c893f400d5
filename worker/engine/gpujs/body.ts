import { sizeOf, stridesOf } from '../../../graph/index.js';
import type { Backend } from './kernel.js';
import { integers } from './kernels/integers.js';

/** Up to here float32 quotients of integers are rounded down right without a second look. */
const EXACT_QUOTIENT = { wasm: 2 ** 24, webgpu: 2 ** 19, webgl: 2 ** 19, javascript: 2 ** 52 };

/** The cell that is computed, as a place in the flat output. */
export const CELL = 'this.thread.x';

/**
 * The body of a kernel while it is written: statements, each expression once. Every name is a constant of the
 * kernel's function; integers stay integers, so that places up to 2^31 are exact where the backend has integers.
 */
export class Body {
  private readonly lines: string[] = [];
  private readonly known = new Map<string, string>();
  private readonly parameters = new Map<string, string>();
  private names = 0;

  constructor(readonly backend: Backend) {}

  /** The values that the kernel reads, in the order of its function's parameters. */
  get inputs(): readonly string[] {
    return [...this.parameters.keys()];
  }

  /** A name for the value of `expression`. */
  let(expression: string): string {
    if (/^(\w+|-?[\d.]+)$/.test(expression)) return expression;
    const found = this.known.get(expression);
    if (found !== undefined) return found;
    const name = `v${this.names++}`;
    this.lines.push(`const ${name} = ${expression};`);
    this.known.set(expression, name);
    return name;
  }

  /** A name for the value of an integer expression: a variable that gpu.js holds as an integer. */
  integer(expression: string): string {
    if (/^(this\.thread\.x|\w+)$/.test(expression)) return expression;
    const found = this.known.get(expression);
    if (found !== undefined) return found;
    const name = `n${this.names++}`;
    // a sum of numbers alone would be a float in WGSL
    const written = /[a-z]/.test(expression) ? expression : `Math.floor(${expression})`;
    this.lines.push(integers(this.backend, name), `${name} = ${written};`);
    this.known.set(expression, name);
    return name;
  }

  /** The element of `value` at a place: an integer expression within its bounds. */
  load(value: string, place: string): string {
    let parameter = this.parameters.get(value);
    if (parameter === undefined) {
      parameter = `a${this.parameters.size}`;
      this.parameters.set(value, parameter);
    }
    return this.let(`${parameter}[${place}]`);
  }

  /** Quotient and remainder of the integer `value`, which is in [0, bound). */
  divide(value: string, by: number, bound: number): readonly [quotient: string, remainder: string] {
    if (by === 1) return [value, '0'];
    if (bound <= by) return ['0', value];
    if (this.backend !== 'webgl' && Number.isInteger(Math.log2(by))) {
      return [this.integer(`${value} >> ${Math.log2(by)}`), this.integer(`${value} & ${by - 1}`)];
    }
    if (bound <= EXACT_QUOTIENT[this.backend] && this.backend !== 'webgl' && this.backend !== 'webgpu') {
      const quotient = this.integer(`Math.floor(${value} / ${by})`);
      return [quotient, this.integer(`${value} - ${quotient} * ${by}`)];
    }
    // half a step off any integer, so that a quotient a few units in the last place off still rounds down right
    if (bound <= EXACT_QUOTIENT[this.backend]) {
      const quotient = this.integer(`Math.floor((${value} + 0.5) / ${by})`);
      return [quotient, this.integer(`${value} - ${quotient} * ${by}`)];
    }
    return this.corrected(value, by);
  }

  /** A quotient that may be one off, set right by its remainder. */
  private corrected(value: string, by: number): readonly [string, string] {
    const key = `${value} /% ${by}`;
    const [q, r] = [`q${this.names}`, `r${this.names}`];
    const found = this.known.get(key);
    if (found !== undefined) return [found, `r${found.slice(1)}`];
    this.names++;
    this.lines.push(
      integers(this.backend, q, r),
      `${q} = Math.floor((${value} + 0.5) / ${by});`,
      `${r} = ${value} - ${q} * ${by};`,
      `if (${r} < 0) { ${q} = ${q} - 1; ${r} = ${r} + ${by}; }`,
      `if (${r} >= ${by}) { ${q} = ${q} + 1; ${r} = ${r} - ${by}; }`,
    );
    this.known.set(key, q);
    return [q, r];
  }

  /** The coordinates of the cell `at` (an integer expression) in `shape`. */
  coordinates(shape: readonly number[], at = CELL): readonly string[] {
    let rest = at;
    let bound = sizeOf(shape);
    const strides = stridesOf(shape);
    return shape.map((_, axis) => {
      const [quotient, remainder] = this.divide(rest, strides[axis]!, bound);
      rest = remainder;
      bound = Math.min(bound, strides[axis]!);
      return quotient;
    });
  }

  /** start + sum of coordinate[axis] * strides[axis] over the coordinates of `at` in `shape`. */
  place(shape: readonly number[], strides: readonly number[], start = 0, at = CELL): string {
    const joined = joinedAxes(shape, strides);
    const coordinates = this.coordinates(joined.shape, at);
    const terms = coordinates.map((coordinate, axis) => scaled(coordinate, joined.strides[axis]!));
    return this.integer(sum([...terms, start]));
  }

  /** The whole function, which gives `result`. */
  source(result: string): string {
    const names = [...this.parameters.values()].join(', ');
    return `function (${names}) {\n  ${[...this.lines, `return ${result};`].join('\n  ')}\n}`;
  }

  /** More statements, as they are. */
  add(...lines: readonly string[]): void {
    this.lines.push(...lines);
  }

  /** A name that nothing else has. */
  fresh(prefix: string): string {
    return `${prefix}${this.names++}`;
  }
}

/**
 * A loop whose counter is an integer (see kernels/integers.ts); its bounds are known. In WebAssembly it has a second
 * bound, gpu.js's limit of iterations, which the library sets beyond any loop's.
 */
export function loop(backend: Backend, counter: string, from: number, to: number, turn: string): string {
  const head = `${counter} = ${from}; ${counter} < ${to}; ${counter}++`;
  if (backend !== 'wasm') return `for (let ${head}) { ${turn} }`;
  return `let ${counter} = this.output.x; for (${head}) { ${turn} }`;
}

/** A coordinate times a stride, or nothing where that is 0. */
function scaled(coordinate: string, stride: number): string | number {
  if (stride === 0 || coordinate === '0') return 0;
  return stride === 1 ? coordinate : `${coordinate} * ${stride}`;
}

/** Terms added up: numbers together, at the end. */
export function sum(terms: readonly (string | number)[]): string {
  const known = terms.reduce<number>((total, term) => (typeof term === 'number' ? total + term : total), 0);
  const written = terms.filter((term) => typeof term === 'string');
  if (written.length === 0) return String(known);
  if (known === 0) return written.join(' + ');
  return `${written.join(' + ')} ${known < 0 ? '-' : '+'} ${Math.abs(known)}`;
}

/** The same walk with as few axes as there can be. */
export function joinedAxes(
  shape: readonly number[],
  strides: readonly number[],
): { readonly shape: number[]; readonly strides: number[] } {
  const joined = { shape: [] as number[], strides: [] as number[] };
  shape.forEach((dim, axis) => {
    if (dim === 1) return;
    const stride = strides[axis]!;
    const last = joined.shape.length - 1;
    if (last >= 0 && joined.strides[last] === dim * stride) {
      joined.shape[last]! *= dim;
      joined.strides[last] = stride;
      return;
    }
    joined.shape.push(dim);
    joined.strides.push(stride);
  });
  return joined;
}
