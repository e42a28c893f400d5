import type { ByteSource } from './source.js';

/**
 * Opens several sources and makes something of them; when anything fails, those already open are closed.
 * One after the other: each may need much memory while it inflates.
 */
export async function openAll<T>(
  openers: readonly (() => Promise<ByteSource>)[],
  make: (sources: readonly ByteSource[]) => T,
): Promise<T> {
  const sources: ByteSource[] = [];
  try {
    for (const open of openers) sources.push(await open());
    return make(sources);
  } catch (error) {
    for (const source of sources) source.close();
    throw error;
  }
}
