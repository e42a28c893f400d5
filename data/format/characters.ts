import type { DataContext } from '../dataset.js';
import { DataError } from '../errors.js';
import { openStream, type LocalFile, type StorageLimits } from '../storage/open.js';

/** Tokens as they are held: the narrowest type that takes the vocabulary. */
export type TokenArray = Uint8Array | Uint16Array | Uint32Array;

export interface EncodedText {
  readonly tokens: TokenArray;
  /** The characters in the order of their ids. */
  readonly vocabulary: readonly string[];
}

const CODE_POINTS = 0x110000;

/**
 * Encodes UTF-8 files as one sequence of character ids (Unicode code points, not UTF-16 units).
 *
 * The vocabulary is `known`, else every character that occurs, sorted by code point. The files are read twice, in
 * pieces: memory is that of the tokens and some 5 MB. A byte-order mark at the start of a file is left out.
 * @throws DataError `data_format` not UTF-8; `data_vocabulary` a character that `known` lacks, with line and column;
 *   `data_too_large`
 */
export async function encodeCharacters(
  files: readonly LocalFile[],
  known: DataContext['vocabulary'],
  limits: StorageLimits,
): Promise<EncodedText> {
  const seen = new Uint8Array(CODE_POINTS);
  let count = 0;
  for (const file of files) {
    for await (const text of decodedPieces(file, limits)) {
      forEachCodePoint(text, (code) => {
        seen[code] = 1;
        count++;
      });
    }
  }
  const vocabulary = known ?? charactersOf(seen);
  const ids = new Int32Array(CODE_POINTS).fill(-1);
  vocabulary.forEach((character, id) => (ids[character.codePointAt(0)!] = id));
  const tokens = allocateTokens(files, count, vocabulary.length, limits.memoryBytes);
  let at = 0;
  for (const file of files) {
    const position = { line: 1, column: 1 };
    for await (const text of decodedPieces(file, limits)) {
      forEachCodePoint(text, (code) => {
        const id = ids[code]!;
        if (id < 0) throw unknownCharacter(file, code, position, vocabulary.length);
        tokens[at++] = id;
        position.column++;
        if (code === 10) {
          position.line++;
          position.column = 1;
        }
      });
    }
  }
  return { tokens, vocabulary };
}

function charactersOf(seen: Uint8Array): string[] {
  const characters: string[] = [];
  for (let code = 0; code < CODE_POINTS; code++) if (seen[code]) characters.push(String.fromCodePoint(code));
  return characters;
}

function allocateTokens(files: readonly LocalFile[], count: number, size: number, limit: number): TokenArray {
  const width = size <= 2 ** 8 ? 1 : size <= 2 ** 16 ? 2 : 4;
  if (count * width > limit) {
    const name = files.map((file) => file.name).join(', ');
    throw new DataError(
      'data_too_large',
      `${name}: ${count} characters take ${count * width} bytes as tokens, the limit is ${limit}; split the text`,
      { file: name, found: count * width, accepted: limit },
    );
  }
  return width === 1 ? new Uint8Array(count) : width === 2 ? new Uint16Array(count) : new Uint32Array(count);
}

/** The file's text in pieces; a character is never split. */
async function* decodedPieces(file: LocalFile, limits: StorageLimits): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let offset = 0;
  const decode = (bytes: Uint8Array, more: boolean) => {
    try {
      return decoder.decode(bytes, { stream: more });
    } catch (cause) {
      throw new DataError(
        'data_format',
        `${file.name}: not UTF-8 text, somewhere in bytes ${offset} to ${offset + bytes.byteLength}; ` +
          'convert the file to UTF-8, or use tokens: byte',
        { file: file.name, row: offset, accepted: 'utf-8' },
        cause,
      );
    }
  };
  for await (const piece of openStream(file, limits)) {
    const bytes = piece as Uint8Array;
    const text = decode(bytes, true);
    offset += bytes.byteLength;
    yield text;
  }
  decode(new Uint8Array(0), false); // fails when the last character is incomplete
}

function forEachCodePoint(text: string, visit: (code: number) => void): void {
  for (let i = 0; i < text.length; i++) {
    const code = text.codePointAt(i)!;
    if (code > 0xffff) i++; // a surrogate pair is two units
    visit(code);
  }
}

function unknownCharacter(
  file: LocalFile,
  code: number,
  position: { readonly line: number; readonly column: number },
  size: number,
): DataError {
  const character = JSON.stringify(String.fromCodePoint(code));
  const name = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
  return new DataError(
    'data_vocabulary',
    `${file.name}: line ${position.line}, character ${position.column}: ${character} (${name}) is not among the ${size} ` +
      'characters of the training text; take it out, add text that has it to the training data, or use tokens: byte',
    {
      file: file.name,
      row: position.line,
      column: position.column,
      found: String.fromCodePoint(code),
      accepted: size,
    },
  );
}
