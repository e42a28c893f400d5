import { open, type FileHandle } from 'node:fs/promises';

const READ_BYTES = 64 * 1024;

export interface Lines {
  readonly lines: readonly string[];
  /** The offset behind the last of them. */
  readonly next: number;
  /** Which file it was: another one where it was begun anew under the same name. */
  readonly file?: string;
}

/**
 * Whole lines of a growing file from a byte offset on, about 64 KiB of them; an unfinished last line is left for later.
 * @param since the start of a line, from an earlier call; one that is none (a made-up event id) is moved to the next,
 * and one behind the file's end is that of an earlier file (its job was launched again): the start
 * @param known the file that `since` is of, where the reader knows it: another one is read from its start
 */
export async function readLines(path: string, since: number, known?: string): Promise<Lines> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch {
    return { lines: [], next: since }; // not there yet
  }
  try {
    const { size, ino, birthtimeMs } = await file.stat();
    const name = `${ino}-${birthtimeMs}`;
    const offset = size < since || (known !== undefined && known !== name) ? 0 : since;
    const from = Math.max(0, offset - 1);
    let buffer = Buffer.alloc(READ_BYTES);
    let { bytesRead } = await file.read(buffer, 0, buffer.length, from);
    // a single line longer than the buffer
    while (bytesRead === buffer.length && buffer.indexOf(0x0a, 1) < 0) {
      buffer = Buffer.alloc(buffer.length * 2);
      ({ bytesRead } = await file.read(buffer, 0, buffer.length, from));
    }
    const bytes = buffer.subarray(0, bytesRead);
    const start = offset === 0 ? 0 : bytes.indexOf(0x0a) + 1;
    const end = bytes.lastIndexOf(0x0a) + 1;
    if (end <= start) return { lines: [], next: offset, file: name };
    return { lines: bytes.toString('utf8', start, end - 1).split('\n'), next: from + end, file: name };
  } finally {
    await file.close();
  }
}

/** All lines of a file as the JSON document `{"rows":[...]}`, piece by piece. */
export async function* rowsDocument(path: string): AsyncGenerator<string> {
  let offset = 0;
  let separator = '';
  yield '{"rows":[';
  for (;;) {
    const { lines, next } = await readLines(path, offset);
    if (lines.length === 0) break;
    yield separator + lines.join(',');
    separator = ',';
    offset = next;
  }
  yield ']}';
}
