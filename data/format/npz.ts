import { unzipSync } from 'fflate';
import { DataError } from '../errors.js';
import { checkHeld } from '../storage/open.js';
import { MemorySource, type ByteSource } from '../storage/source.js';

/** What to do about an archive that is too large. */
export const UNPACK = 'save the arrays as npy files, which are read where they lie';

/**
 * Takes the arrays with the given keys out of an npz archive; the others are not inflated.
 * @param archive held in memory
 * @returns a source for each key, in order, named `archive.npz[key]`; a key that is asked for twice gives one source
 * @throws DataError `data_format` not a zip, `data_truncated`, `data_name` a key that is not there, `data_too_large`
 */
export function readNpz(archive: ByteSource, keys: readonly string[], memoryBytes: number): ByteSource[] {
  const file = archive.name;
  if (archive.length < 4 || archive.bytes[0] !== 0x50 || archive.bytes[1] !== 0x4b) {
    throw new DataError('data_format', `${file}: not an npz file (a zip archive); save it with numpy.savez`, {
      file,
      accepted: 'npz',
    });
  }
  const present = new Map<string, number>();
  list(archive, (key, bytes) => present.set(key, bytes));
  let total = 0;
  for (const key of new Set(keys)) {
    const bytes = present.get(key);
    if (bytes === undefined) {
      const known = [...present.keys()].join(', ');
      throw new DataError('data_name', `${file}: has no array ${key}; it has ${known}`, {
        file,
        found: key,
        accepted: known,
      });
    }
    total += bytes;
  }
  checkHeld(file, total, memoryBytes, UNPACK);
  const wanted = new Set(keys);
  const found = unzip(archive, (key) => wanted.has(key));
  const sources = new Map(
    [...found].map(([key, bytes]) => [key, new MemorySource(`${file}[${key}]`, bytes)]),
  );
  return keys.map((key) => sources.get(key)!);
}

function list(archive: ByteSource, visit: (key: string, bytes: number) => void): void {
  unzip(archive, (key, bytes) => {
    visit(key, bytes);
    return false;
  });
}

/** The members that `want` picks, each in its own memory. The declared size bounds what a member inflates to. */
function unzip(archive: ByteSource, want: (key: string, bytes: number) => boolean): Map<string, Uint8Array> {
  try {
    const members = unzipSync(archive.bytes, {
      filter: (member) => want(keyOf(member.name), member.originalSize),
    });
    return new Map(Object.entries(members).map(([name, bytes]) => [keyOf(name), bytes]));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(
      'data_truncated',
      `${archive.name}: the zip archive is cut short or damaged (${reason}); copy or download the file again`,
      { file: archive.name, found: reason },
      cause,
    );
  }
}

function keyOf(member: string): string {
  return member.replace(/\.npy$/, '');
}
