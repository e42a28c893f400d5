import { open, rename, rm } from 'node:fs/promises';
import { formatType, sameShape } from '../ir/tensor.js';
import { WeightsError } from './errors.js';
import { drain, SafetensorsFile } from './file.js';
import type { Entry } from './header.js';
import { layoutOf } from './layout.js';

/** A tensor and the file that its values are taken from. */
interface Source {
  readonly entry: Entry;
  readonly part: number;
}

/**
 * Joins safetensors files into one. Tensors are copied by pieces, never held in memory; the headers are.
 *
 * Guarantees: names are in the order of the parts, and in each part's own; a name that several parts hold is taken
 * from the first of them, and so is a key of the metadata. `to` is complete as soon as it is there: what it held
 * before is replaced at the end, and kept where something fails. It may be one of the parts.
 * @param parts paths
 * @throws WeightsError for a part that is no safetensors file, and where parts hold a name with different types; what
 *   the file system says
 */
export async function mergeSafetensors(parts: readonly string[], to: string): Promise<void> {
  const files: SafetensorsFile[] = [];
  try {
    for (const path of parts) files.push(await SafetensorsFile.open(path, path));
    await write(files, sourcesOf(files, parts), to);
  } finally {
    for (const file of files) await file.close();
  }
}

/** @throws WeightsError where two files differ in what a name is */
function sourcesOf(files: readonly SafetensorsFile[], paths: readonly string[]): ReadonlyMap<string, Source> {
  const sources = new Map<string, Source>();
  files.forEach(({ entries }, part) => {
    for (const entry of entries) {
      const first = sources.get(entry.name);
      if (!first) {
        sources.set(entry.name, { entry, part });
        continue;
      }
      if (first.entry.dtype === entry.dtype && sameShape(first.entry.shape, entry.shape)) continue;
      const [a, b] = [paths[first.part]!, paths[part]!];
      throw new WeightsError(
        `tensor "${entry.name}" is ${formatType(first.entry)} in ${a} and ${formatType(entry)} in ${b}: parts of one ` +
          'model agree on what they share',
        { ids: { tensor: entry.name, files: [a, b] } },
      );
    }
  });
  return sources;
}

async function write(
  files: readonly SafetensorsFile[],
  sources: ReadonlyMap<string, Source>,
  to: string,
): Promise<void> {
  const metadata = new Map(files.toReversed().flatMap((file) => [...file.metadata]));
  const types = new Map([...sources].map(([name, { entry }]) => [name, entry]));
  const { header, starts } = layoutOf(types, metadata);
  const unfinished = `${to}.part`;
  try {
    const target = await open(unfinished, 'w');
    try {
      await drain(target, header, 0);
      for (const [name, start] of starts) {
        const { entry, part } = sources.get(name)!;
        await files[part]!.copy(entry, target, header.byteLength + start);
      }
      await target.sync();
    } finally {
      await target.close();
    }
    await rename(unfinished, to);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}
