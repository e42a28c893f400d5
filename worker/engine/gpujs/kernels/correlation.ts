import { sizeOf } from '../../../../graph/index.js';
import type { Backend, Kernel, KernelContext } from '../kernel.js';
import { FOUR_LANES } from './accumulate.js';
import { added, coordinates, integers, repeat, times } from './integers.js';

/*
 * What convolutions have in common, both directions: an input whose borders are written out, and for each cell a sum
 * over channels and taps whose places follow from the cell's by constants alone. Cells lie in `phases`: blocks of
 * positions that are summed with taps of their own (a transposed convolution has one for each residue of its
 * strides). Taps are written out, so that their offsets are constants of the code.
 */

export interface Tap {
  /** From where the cell starts in a plane of the input. */
  readonly input: number;
  /** From the channel's kernel. */
  readonly weight: number;
}

export interface Correlation {
  /** [samples * channels, ...plane], its borders written out where taps reach there. */
  readonly input: string;
  readonly plane: readonly number[];
  readonly weight: string;
  readonly bias: string | undefined;
  readonly samples: number;
  readonly groups: number;
  /** Channels of a group: of the input, and of the output. */
  readonly depth: number;
  readonly width: number;
  /** Strides of the weight: by input channel and output channel of a group, and by group. */
  readonly weightStrides: { readonly depth: number; readonly width: number; readonly group: number };
  /** Positions of each phase, and how far they are apart in the input's plane. */
  readonly positions: readonly number[];
  readonly steps: readonly number[];
  readonly phases: readonly (readonly Tap[])[];
  readonly output: string;
}

/** A term more than this and the sums of a channel are added up by themselves before they join the total. */
const LONG_SUM = 512;

const SUMS = [0, 1, 2, 3];

/** Makes [samples, channels, phases, ...positions]. */
export function correlationKernel(correlation: Correlation, { backend }: KernelContext): Kernel {
  const { samples, groups, width, positions, steps, plane, phases } = correlation;
  const channels = groups * width;
  const last = positions.at(-1)!;
  const quads = backend === 'wasm' && last % 4 === 0;
  // rows of positions, or of four of them
  const rows = [phases.length, ...positions.slice(0, -1), ...(quads ? [last / 4] : [])];
  const names = rows.map((_, axis) => `r${axis}`);
  const strides = plane.map((_, axis) => sizeOf(plane.slice(axis + 1)));
  const rowTerms = names
    .slice(1)
    .map((name, axis) =>
      times(name, strides[axis]! * steps[axis]! * (quads && axis === positions.length - 1 ? 4 : 1)),
    );
  const start = added(
    inputStart(correlation),
    ...rowTerms,
    quads ? '0' : times('this.thread.x', steps.at(-1)!),
  );
  const sums = phases.map((_, phase) => channelSums(correlation, phase, quads, backend));
  const body =
    phases.length === 1
      ? sums[0]!
      : sums.map((text, phase) => `if (r0 === ${phase}) { ${text} }`).join('\n  ');
  const result = quads ? FOUR_LANES : '(s0 + s1) + (s2 + s3)';
  return {
    source: `function (a, w${correlation.bias === undefined ? '' : ', c'}) {
  ${integers(backend, 'i', 'j', 'n', 'm', 'g', ...names)} ${coordinates(['n', 'm'], 'this.thread.z', [samples, channels])}
  ${groups === 1 ? 'g = m - m;' : `g = Math.floor((m + 0.5) / ${width});`} ${coordinates(names, 'this.thread.y', rows)}
  let x = 0.0; ${SUMS.map((sum) => `let s${sum} = 0.0; let p${sum} = 0.0;`).join(' ')}
  i = ${start};
  j = ${weightStart(correlation)};
  ${body}
  return ${correlation.bias === undefined ? result : `(${result}) + c[m]`};
}`,
    inputs: [
      correlation.input,
      correlation.weight,
      ...(correlation.bias === undefined ? [] : [correlation.bias]),
    ],
    output: correlation.output,
    extents: [quads ? 4 : last, sizeOf(rows), samples * channels],
    constants: {},
  };
}

function inputStart({ groups, depth, plane }: Correlation): string {
  const size = depth * sizeOf(plane);
  return groups === 1 ? times('n', size) : `(${times('n', groups)} + g) * ${size}`;
}

function weightStart({ groups, width, weightStrides }: Correlation): string {
  if (groups === 1) return times('m', weightStrides.width);
  return added(times('g', weightStrides.group), times(`(m - g * ${width})`, weightStrides.width));
}

/**
 * Statements that leave the sums over channels and taps in `s0`..., with `i` and `j` at the first channel. Lanes have
 * a sum each; a cell by itself has four, which take turns.
 */
function channelSums(correlation: Correlation, phase: number, quads: boolean, backend: Backend): string {
  const { depth, plane, weightStrides, steps } = correlation;
  const taps = correlation.phases[phase]!;
  if (taps.length === 0) return '';
  const step = steps.at(-1)!;
  const nested = backend !== 'javascript' && depth * taps.length > LONG_SUM;
  const into = nested ? 'p' : 's';
  const terms = taps.map(({ input, weight }, turn) => {
    const element = (lane: number): string => `a[${added('i', input + lane * step)}]`;
    if (!quads) return `${into}${turn % 4} += ${element(0)} * w[${added('j', weight)}];`;
    return `x = w[${added('j', weight)}]; ${SUMS.map((lane) => `${into}${lane} += x * ${element(lane)};`).join(' ')}`;
  });
  const before = nested ? SUMS.map((sum) => `p${sum} = 0.0;`).join(' ') : '';
  const after = nested ? SUMS.map((sum) => `s${sum} += p${sum};`).join(' ') : '';
  const channel = `${before} ${terms.join('\n    ')} ${after} i += ${sizeOf(plane)}; j += ${weightStrides.depth};`;
  return repeat(backend, `c${phase}`, depth, channel);
}
