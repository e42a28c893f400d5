import { intAttribute, sizeOf, stridesOf, type Node } from '../../../../graph/index.js';
import { pooled, type Window } from '../../../../graph/operators/index.js';
import type { Kernel, KernelContext, KernelRule, KernelRules } from '../kernel.js';
import { added, coordinates, integers, times } from './integers.js';
import { laneMaxima, laneSums, type Lanes } from './rows.js';
import { float } from './product-forms.js';

/** A pool's window over [planes, ...spatial]. */
interface Pool {
  readonly window: Window;
  readonly planes: number;
  readonly spatial: readonly number[];
  readonly output: readonly number[];
}

function poolOf(node: Node, context: KernelContext): Pool {
  const { x, placed } = pooled(
    node,
    node.inputs.map((name) => context.typeOf(name)),
    'number',
  );
  const planes = x.shape[0]! * x.shape[1]!;
  return { window: placed.window, planes, spatial: x.shape.slice(2), output: placed.output };
}

/** Where the window of a cell begins along each axis; before the input where there is padding. */
const begins = (pool: Pool): readonly string[] => pool.spatial.map((_, axis) => `o${axis}`);

/** One cell for each window. */
function perWindow(
  pool: Pool,
  { backend }: KernelContext,
  input: string,
  output: string,
  statements: string,
): Kernel {
  const { window, planes, output: positions } = pool;
  const names = begins(pool);
  const last = positions.length - 1;
  const starts = names.map(
    (name, axis) => `${name} = ${times(name, window.strides[axis]!)}${minus(window.begins[axis]!)};`,
  );
  return {
    source: `function (a) {
  ${integers(backend, 'i', 'j', 'at', ...names)}
  ${coordinates(names.slice(0, -1), 'this.thread.y', positions.slice(0, -1))} ${names[last]!} = this.thread.x;
  ${starts.join(' ')}
  ${statements}
}`,
    inputs: [input],
    output,
    extents: [positions[last]!, sizeOf(positions.slice(0, -1)), planes],
    constants: {},
  };
}

const minus = (value: number): string => (value === 0 ? '' : ` - ${value}`);

/** What must hold for tap `k` of an axis to lie below `end`, and, where `padding` does not count, within the input. */
function inside(pool: Pool, axis: number, k: number, padding: boolean): string {
  const { window, spatial, output } = pool;
  const at = k * window.dilations[axis]!;
  const end = spatial[axis]! + (padding ? window.ends[axis]! : 0);
  const tests: string[] = [];
  if (!padding && at < window.begins[axis]!) tests.push(`o${axis} + ${at} >= 0`);
  const furthest = (output[axis]! - 1) * window.strides[axis]! - window.begins[axis]! + at;
  if (furthest >= end) tests.push(`o${axis} + ${at} < ${end}`);
  return tests.join(' && ');
}

/** `each` for every tap that lies in the input: with offsets from the window's begin by two kinds of strides. */
function everyTap(
  pool: Pool,
  strides: readonly (readonly number[])[],
  each: (offsets: readonly number[]) => string,
): string {
  const walk = (axis: number, offsets: readonly number[]): string => {
    if (axis === pool.spatial.length) return each(offsets);
    return Array.from({ length: pool.window.kernel[axis]! }, (_, k) => {
      const at = k * pool.window.dilations[axis]!;
      const inner = walk(
        axis + 1,
        offsets.map((offset, kind) => offset + at * strides[kind]![axis]!),
      );
      const test = inside(pool, axis, k, false);
      return test === '' ? inner : `if (${test}) { ${inner} }`;
    }).join('\n  ');
  };
  return walk(
    0,
    strides.map(() => 0),
  );
}

function startIn(pool: Pool, strides: readonly number[]): string {
  return added(
    times('this.thread.z', sizeOf(pool.spatial)),
    ...begins(pool).map((name, axis) => times(name, strides[axis]!)),
  );
}

/** The first of the largest, which NaN is; its place in the flat input is counted as `storage_order` says. */
const maxPool: KernelRule = (node, context) => {
  const pool = poolOf(node, context);
  const rows = stridesOf(pool.spatial);
  const columns = pool.spatial.map((_, axis) => sizeOf(pool.spatial.slice(0, axis)));
  const order = intAttribute(node, 'storage_order', 0) === 1 ? columns : rows;
  const find = everyTap(
    pool,
    [rows, order],
    ([offset, place]) =>
      `x = a[${added('i', offset!)}]; if (at < 0 || x > best || x !== x) { best = x; at = ${added('j', place!)}; }`,
  );
  const statements = (
    result: string,
  ): string => `i = ${startIn(pool, rows)}; j = ${startIn(pool, order)}; at = 0; at--;
  let best = -3.4028234663852886e+38; let x = 0.0;
  ${find}
  return ${result};`;
  const [values, indices = ''] = node.outputs as [string, string?];
  const kernels: Kernel[] = [];
  if (values !== '') kernels.push(perWindow(pool, context, node.inputs[0]!, values, statements('best')));
  if (indices !== '') kernels.push(perWindow(pool, context, node.inputs[0]!, indices, statements('at')));
  return kernels;
};

const averagePool: KernelRule = (node, context) => {
  const pool = poolOf(node, context);
  const rows = stridesOf(pool.spatial);
  const padding = intAttribute(node, 'count_include_pad', 0) === 1;
  // which taps count is told axis by axis, so how many do is a product
  let constant = 1;
  const counts: string[] = [];
  pool.window.kernel.forEach((length, axis) => {
    const tests = Array.from({ length }, (_, k) => inside(pool, axis, k, padding));
    if (tests.every((test) => test === '')) constant *= length;
    else {
      const counted = tests.map((test) =>
        test === '' ? `n${axis} += 1.0;` : `if (${test}) { n${axis} += 1.0; }`,
      );
      counts.push(`let n${axis} = 0.0; ${counted.join(' ')}`);
    }
  });
  const names = pool.spatial
    .map((_, axis) => `n${axis}`)
    .filter((name) => counts.some((text) => text.startsWith(`let ${name} `)));
  const count = [...names, ...(constant === 1 && names.length > 0 ? [] : [float(constant)])].join(' * ');
  const statements = `i = ${startIn(pool, rows)}; let s = 0.0;
  ${everyTap(pool, [rows], ([offset]) => `s += a[${added('i', offset!)}];`)}
  ${counts.join('\n  ')}
  return s / (${count});`;
  return [perWindow(pool, context, node.inputs[0]!, node.outputs[0]!, statements)];
};

function channels(node: Node, context: KernelContext): Lanes {
  const { shape } = context.typeOf(node.inputs[0]!);
  return { outer: shape[0]! * shape[1]!, length: sizeOf(shape.slice(2)), inner: 1 };
}

const globalAveragePool: KernelRule = (node, context) => {
  const lanes = channels(node, context);
  const names = { input: node.inputs[0]!, output: node.outputs[0]! };
  return [laneSums(lanes, context, names, 'x', (sum) => `${sum} / ${float(lanes.length)}`)];
};

const globalMaxPool: KernelRule = (node, context) => [
  laneMaxima(channels(node, context), context, node.inputs[0]!, node.outputs[0]!),
];

export const poolingKernels: KernelRules = {
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: globalAveragePool,
  GlobalMaxPool: globalMaxPool,
};
