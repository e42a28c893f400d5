import type { Reference } from '../operators/definition.js';

/** Places of an axis that are shown: the first and the last ones of a longer axis. */
const EDGE = 3;

/** Elements in rows and brackets, as NumPy prints them; of long axes both ends. */
export function printable({ shape, data }: Pick<Reference, 'shape' | 'data'>): string {
  const write = (axis: number, offset: number, size: number): string => {
    if (axis === shape.length) return formatNumber(data[offset]!);
    const length = shape[axis]!;
    const inner = length === 0 ? 0 : size / length;
    const at = (i: number) => write(axis + 1, offset + i * inner, inner);
    const parts = placesOf(length).map((i) => (i === undefined ? '...' : at(i)));
    const last = axis === shape.length - 1;
    return `[${parts.join(last ? ', ' : `,\n${' '.repeat(axis + 1)}`)}]`;
  };
  return write(0, 0, data.length);
}

/** Indices to show; undefined stands for those left out. */
function placesOf(length: number): (number | undefined)[] {
  const all = Array.from({ length }, (_, i) => i);
  return length <= 2 * EDGE + 1 ? all : [...all.slice(0, EDGE), undefined, ...all.slice(-EDGE)];
}

function formatNumber(x: number): string {
  return Number.isInteger(x) ? String(x) : String(Number(x.toPrecision(5)));
}
