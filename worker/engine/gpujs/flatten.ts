import { sizeOf } from '../../../graph/index.js';
import type { Kernel } from './kernel.js';

/** The same kernel over one long axis: where a backend keeps values of several axes as arrays of arrays. */
export function flattened(kernel: Kernel): Kernel {
  const [x, y = 1] = kernel.extents;
  if (kernel.extents.length < 2) return kernel;
  const body = kernel.source.indexOf('{') + 1;
  const source = kernel.source
    .slice(body)
    .replace(/this\.thread\.([xyz])/g, (_, axis: string) => `thread_${axis}`)
    .replace(/this\.output\.([xyz])/g, (_, axis: string) => String(kernel.extents['xyz'.indexOf(axis)] ?? 1));
  const prelude = [
    'const thread_cell = this.thread.x;',
    `const thread_row = Math.floor(thread_cell / ${x!});`,
    `const thread_x = thread_cell - thread_row * ${x!};`,
    `const thread_z = Math.floor(thread_row / ${y});`,
    `const thread_y = thread_row - thread_z * ${y};`,
  ].join(' ');
  return {
    ...kernel,
    source: `${kernel.source.slice(0, body)} ${prelude}${source}`,
    extents: [sizeOf(kernel.extents)],
  };
}

/** Rows, or rows of rows, one after another. */
export function copyRows(rows: unknown, target: Float32Array, at = 0): number {
  if (rows instanceof Float32Array) {
    target.set(rows, at);
    return at + rows.length;
  }
  for (const row of rows as readonly unknown[]) at = copyRows(row, target, at);
  return at;
}
