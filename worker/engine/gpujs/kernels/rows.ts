import type { Kernel, KernelContext } from '../kernel.js';
import { accumulate } from './accumulate.js';
import { added, integers, repeat, times } from './integers.js';

/** A flat value as lanes: `length` elements, `inner` apart, `outer * inner` times. */
export interface Lanes {
  readonly outer: number;
  readonly length: number;
  readonly inner: number;
}

/** A launch of one cell a lane. In WebAssembly a cell a row is faster than four rows at once, whose loads are apart. */
function perLane(
  { outer, length, inner }: Lanes,
  { backend }: KernelContext,
  write: { readonly names: string; readonly inputs: readonly string[]; readonly output: string },
  statements: (lane: string) => string,
): Kernel {
  const scalar = inner === 1 && backend === 'wasm';
  const [at, row] =
    inner === 1 ? ['0', scalar ? 'this.thread.y' : 'this.thread.x'] : ['this.thread.x', 'this.thread.y'];
  const lane = added(times(row, inner), at);
  return {
    source: `function (${write.names}) {
  ${integers(backend, 'i')} i = ${added(times(row, length * inner), at)};
  ${statements(lane)}
}`,
    inputs: write.inputs,
    output: write.output,
    extents: scalar ? [1, outer] : inner === 1 ? [outer] : [inner, outer],
    constants: {},
  };
}

/**
 * A sum over each lane. @param term of the element `x`, and of `c[lane]` (`y`) where another value goes with lanes
 * @param finish what becomes of the sum
 */
export function laneSums(
  lanes: Lanes,
  context: KernelContext,
  names: { readonly input: string; readonly beside?: string; readonly output: string },
  term: string,
  finish: (sum: string) => string,
): Kernel {
  const beside = names.beside === undefined ? [] : [names.beside];
  const write = {
    names: ['a', ...beside.map(() => 'c')].join(', '),
    inputs: [names.input, ...beside],
    output: names.output,
  };
  const sums = accumulate(context.backend, 4, {
    count: lanes.length,
    add: (u) => `x = a[${added('i', u * lanes.inner)}]; s${u % 4} += ${term};`,
    advance: (count) => `i += ${count * lanes.inner};`,
  });
  return perLane(
    lanes,
    context,
    write,
    (lane) => `let x = 0.0; ${beside.length === 0 ? '' : `let y = c[${lane}];`}
  ${sums}
  return ${finish('((s0 + s1) + (s2 + s3))')};`,
  );
}

/** The largest of each lane; NaN where there is one. */
export function laneMaxima(lanes: Lanes, context: KernelContext, input: string, output: string): Kernel {
  const { length, inner } = lanes;
  const element = (u: number): string => `m = Math.max(m, a[${added('i', u * inner)}]);`;
  const four = [0, 1, 2, 3].map(element).join(' ');
  const rest = Array.from({ length: length % 4 }, (_, u) => element(u)).join(' ');
  return perLane(
    lanes,
    context,
    { names: 'a', inputs: [input], output },
    () => `let m = a[i];
  ${repeat(context.backend, 'k', Math.floor(length / 4), `${four} i += ${4 * inner};`)}
  ${rest}
  return m;`,
  );
}

/** A launch of one cell an element: `x` is the element, `lane` its lane's place in values of one element a lane. */
export function perElement(
  { outer, length, inner }: Lanes,
  names: { readonly inputs: readonly string[]; readonly output: string },
  result: (lane: string, place: string) => string,
  before = '',
): Kernel {
  const flat = inner === 1;
  const lane = flat ? 'this.thread.y' : `(this.thread.z * ${inner} + this.thread.x)`;
  const place = flat ? 'this.thread.x' : 'this.thread.y';
  const index = flat
    ? `this.thread.y * ${length} + this.thread.x`
    : `(this.thread.z * ${length} + this.thread.y) * ${inner} + this.thread.x`;
  const parameters = names.inputs.map((_, i) => String.fromCharCode(97 + i)).join(', ');
  return {
    source: `function (${parameters}) { ${before} const x = a[${index}]; return ${result(lane, place)}; }`,
    inputs: names.inputs,
    output: names.output,
    extents: flat ? [length, outer] : [inner, length, outer],
    constants: {},
  };
}
