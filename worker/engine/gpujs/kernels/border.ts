import { sizeOf } from '../../../../graph/index.js';
import type { Backend, Kernel } from '../kernel.js';
import { added, coordinates, integers, times } from './integers.js';

/** [planes, ...spatial] with zeros around, as [planes, ...plane]: `begins` of them before each axis. */
export function bordered(
  backend: Backend,
  input: string,
  planes: number,
  spatial: readonly number[],
  begins: readonly number[],
  plane: readonly number[],
  output: string,
): Kernel {
  const last = spatial.length - 1;
  const rows = plane.slice(0, -1);
  const names = rows.map((_, axis) => `r${axis}`);
  const inside = [...names, 'x'].flatMap((name, axis) => {
    const end = begins[axis]! + spatial[axis]!;
    const tests: string[] = [];
    if (begins[axis]! > 0) tests.push(`${name} >= ${begins[axis]!}`);
    if (end < plane[axis]!) tests.push(`${name} < ${end}`);
    return tests;
  });
  const before = begins.reduce((sum, begin, axis) => sum + begin * sizeOf(spatial.slice(axis + 1)), 0);
  const at = added(
    times('this.thread.z', sizeOf(spatial)),
    ...names.map((name, axis) => times(name, sizeOf(spatial.slice(axis + 1)))),
    'x',
  );
  return {
    source: `function (a) {
  ${integers(backend, ...names, 'x')} ${coordinates(names, 'this.thread.y', rows)} x = this.thread.x;
  let y = 0.0;
  if (${inside.join(' && ')}) { y = a[${at} - ${before}]; }
  return y;
}`,
    inputs: [input],
    output,
    extents: [plane[last]!, sizeOf(rows), planes],
    constants: {},
  };
}

/**
 * [planes, phases, ...positions] as [planes, ...spatial]: position t of phase p along an axis of `strides` phases is
 * t * stride + p there; what is beyond `spatial` is left out.
 */
export function interleaved(
  backend: Backend,
  input: string,
  planes: number,
  strides: readonly number[],
  positions: readonly number[],
  spatial: readonly number[],
  output: string,
): Kernel {
  const last = spatial.length - 1;
  const rows = spatial.slice(0, -1);
  const [at, place, phase] = ['o', 't', 'p'].map((prefix) =>
    spatial.map((_, axis) => `${prefix}${axis}`),
  ) as [string[], string[], string[]];
  const split = spatial.map((_, axis) =>
    strides[axis] === 1
      ? `${place[axis]!} = ${at[axis]!}; ${phase[axis]!} = 0;`
      : `${place[axis]!} = Math.floor((${at[axis]!} + 0.5) / ${strides[axis]!}); ${phase[axis]!} = ${at[axis]!} - ${place[axis]!} * ${strides[axis]!};`,
  );
  const block = sizeOf(positions);
  const index = added(
    times('this.thread.z', sizeOf(strides) * block),
    ...phase.map((name, axis) => times(name, sizeOf(strides.slice(axis + 1)) * block)),
    ...place.map((name, axis) => times(name, sizeOf(positions.slice(axis + 1)))),
  );
  return {
    source: `function (a) {
  ${integers(backend, ...at, ...place, ...phase)}
  ${coordinates(at.slice(0, -1), 'this.thread.y', rows)} ${at[last]!} = this.thread.x;
  ${split.join('\n  ')}
  return a[${index}];
}`,
    inputs: [input],
    output,
    extents: [spatial[last]!, sizeOf(rows), planes],
    constants: {},
  };
}
